#include "gateway/jobs/batches/batch_log.hh"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "gateway/jobs/batches/batch_input.hh"

namespace qanat::jobs {
namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

BatchLog::BatchLog(const std::string& folder, std::string batch)
    : paths_{folder + "/" + batch + ".output.jsonl", folder + "/" + batch + ".errors.jsonl"} {
  std::filesystem::create_directories(folder);
  for (const To to : {To::Output, To::Errors}) open(to, batch);
}

BatchLog::~BatchLog() {
  for (const int file : files_)
    if (file >= 0) ::close(file);
}

void BatchLog::open(To to, const std::string& batch) {
  const std::string& name = path(to);
  std::ifstream in(name, std::ios::binary);
  std::uint64_t whole = 0;
  for (std::string line; std::getline(in, line) && !in.eof(); whole += line.size() + 1)
    if (const auto number = answered_line(line, batch)) lines_[index(to)].insert(*number);
  int& file = files_[index(to)];
  file = ::open(name.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0 || ::ftruncate(file, static_cast<off_t>(whole)) != 0) fail(name);
}

void BatchLog::append(To to, std::string_view line) {
  const int file = files_[index(to)];
  while (!line.empty()) {
    const ssize_t n = ::write(file, line.data(), line.size());
    if (n < 0 && errno != EINTR) fail(path(to));
    if (n > 0) line.remove_prefix(static_cast<std::size_t>(n));
  }
  if (::fdatasync(file) != 0) fail(path(to));
}

void BatchLog::remove() {
  for (const std::string& path : paths_) ::unlink(path.c_str());
}

}  // namespace qanat::jobs
