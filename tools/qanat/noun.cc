#include "tools/qanat/noun.hh"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/config.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/run_command.hh"

namespace qanat::cli {
using nlohmann::json;

CLI::App* Noun::command(const std::string& name, const std::string& summary, Action run) {
  CLI::App* sub = app.add_subcommand(name, summary);
  common(sub);
  sub->callback([this, run = std::move(run)] { action = run; });
  return sub;
}

void Noun::common(CLI::App* sub) {
  sub->add_flag("--json", a.options.json, "print JSON rather than text");
  sub->add_option("--lab", a.options.lab, "the lab to ask, where several run")->type_name("NAME");
  sub->add_option("--gateway", a.options.gateway, "a gateway's URL, instead of the lab's")
      ->envname("QANAT_GATEWAY")
      ->type_name("URL");
  sub->add_option("--key", a.options.key, "a tenant's key")->envname("QANAT_KEY")->type_name("KEY");
}

int Noun::run(int argc, char** argv) { return run_command(app, argc, argv, action); }
static std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::int64_t time_of(const std::string& option, const std::string& text) {
  if (text.starts_with('+'))
    if (const auto in = base::parse_duration(text.substr(1))) return now_ms() + in->count() / 1'000'000;
  int hour = 0, minute = 0;
  char end = 0;
  if (std::sscanf(text.c_str(), "%2d:%2d%c", &hour, &minute, &end) != 2 || hour > 23 || minute > 59 ||
      hour < 0 || minute < 0)
    throw CommandError{kWrongUsage, option + ": \"" + text + "\" is not a time", "18:00, or +90m"};
  const std::time_t now = std::time(nullptr);
  std::tm tm{};
  localtime_r(&now, &tm);
  tm.tm_hour = hour;
  tm.tm_min = minute;
  tm.tm_sec = 0;
  std::time_t at = std::mktime(&tm);
  if (at <= now) {
    ++tm.tm_mday;
    tm.tm_isdst = -1;
    at = std::mktime(&tm);
  }
  return std::int64_t{at} * 1000;
}

std::string clock_text(const json& unix_ms) {
  if (!unix_ms.is_number()) return "-";
  const std::time_t at = unix_ms.get<std::int64_t>() / 1000;
  std::tm tm{};
  localtime_r(&at, &tm);
  return fmt::format("{:02}-{:02} {:02}:{:02}:{:02}", tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
                     tm.tm_sec);
}

std::string text(const json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return "-";
  return it->is_string() ? it->get<std::string>() : it->dump();
}

std::string size_text(const json& object, const char* key) { return bytes(object.value(key, 0.0)); }

std::string money(const json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end()) return "-";
  const double nano = it->is_string() ? std::stod(it->get<std::string>()) : it->get<double>();
  return fmt::format("{:.9f}", nano * 1e-9);
}

int done(const NounArguments& a, const json& answer, const std::string& said) {
  fmt::print("{}\n", a.options.json ? answer.dump(2) : said);
  return 0;
}

int shown(const NounArguments& a, const json& answer, const Table& table, const char* none) {
  if (a.options.json) return done(a, answer, "");
  fmt::print("{}", table.empty() ? std::string(none) + "\n" : table.text(terminal_width()));
  return 0;
}

json call(const NounArguments& a, const std::string& method, const std::string& target) {
  return ask(find_gateway(a.options), method, target, {});
}

json call(const NounArguments& a, const std::string& method, const std::string& target, const json& body) {
  return ask(find_gateway(a.options), method, target, body.dump());
}

}  // namespace qanat::cli
