#include "tools/qanat/contexts.hh"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "tools/qanat/command_error.hh"

namespace qanat::cli {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Context, controller, token, gateway, key)

namespace {

using nlohmann::json;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

std::string contexts_file() {
  if (const std::string named = variable("QANAT_CONTEXTS"); !named.empty()) return named;
  const std::string xdg = variable("XDG_CONFIG_HOME"), home = variable("HOME");
  return (xdg.empty() ? home + "/.config" : xdg) + "/qanat/contexts.json";
}

Contexts read_contexts(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    if (!std::filesystem::exists(file)) return {};
    throw CommandError{kFailed, fmt::format("{}: {}", file, std::strerror(errno)), "it is its owner's alone"};
  }
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  Contexts contexts;
  try {
    const json all = json::parse(text);
    contexts.current = all.value("current", "");
    for (const auto& [name, value] : all.at("contexts").items()) value.get_to(contexts.all[name]);
  } catch (const json::exception&) {
    throw CommandError{kFailed, fmt::format("{} is not a file of contexts", file),
                       "remove it, and `qanat context set` again"};
  }
  return contexts;
}

void write_contexts(const std::string& file, const Contexts& contexts) {
  json all{{"current", contexts.current}, {"contexts", json::object()}};
  for (const auto& [name, context] : contexts.all) all["contexts"][name] = context;
  const std::string text = all.dump(2) + "\n", next = file + ".next";
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(file).parent_path(), ignored);
  ::unlink(next.c_str());
  const int fd = ::open(next.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const bool written = fd >= 0 &&
                       ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       ::fsync(fd) == 0;
  const int problem = errno;
  if (fd >= 0) ::close(fd);
  if (!written || ::rename(next.c_str(), file.c_str()) != 0)
    throw CommandError{kFailed, fmt::format("{}: {}", file, std::strerror(written ? errno : problem)),
                       "QANAT_CONTEXTS names another file"};
}

std::optional<Context> context_in_use() {
  const std::string named = variable("QANAT_CONTEXT");
  const Contexts contexts = read_contexts(contexts_file());
  const std::string& name = named.empty() ? contexts.current : named;
  if (name.empty()) return std::nullopt;
  const auto found = contexts.all.find(name);
  if (found == contexts.all.end())
    throw CommandError{kNotFound, fmt::format("no context is called {}", name),
                       "`qanat context list` shows them"};
  return found->second;
}

}  // namespace qanat::cli
