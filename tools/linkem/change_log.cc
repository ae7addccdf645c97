#include "tools/linkem/change_log.hh"

#include <cerrno>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/clock.hh"

namespace qanat::linkem {

ChangeLog::ChangeLog(const std::string& path) {
  if (path.empty()) return;
  file_ = std::fopen(path.c_str(), "ae");
  if (!file_) throw std::system_error(errno, std::generic_category(), "open " + path);
  std::setvbuf(file_, nullptr, _IOLBF, 0);
}

ChangeLog::~ChangeLog() {
  if (file_) std::fclose(file_);
}

void ChangeLog::apply(TunLink& link, const Spec& up, const Spec& down, base::Time now, const char* cause,
                      std::optional<base::Time> planned) {
  const Spec before[] = {link.config().up, link.config().down};
  link.configure(up, down, now);
  if (!file_) return;
  for (std::size_t i = 0; i < 2; ++i) {
    const Spec& after = i == 0 ? up : down;
    if (before[i] == after) continue;
    nlohmann::json entry = {{"event", "applied"},
                            {"cause", cause},
                            {"link", link.config().name},
                            {"direction", i == 0 ? "up" : "down"},
                            {"before", to_string(before[i])},
                            {"spec", to_string(after)},
                            {"monotonic_ns", now.time_since_epoch().count()},
                            {"unix_ms", base::unix_now_ms()}};
    if (planned) entry["planned_ns"] = planned->time_since_epoch().count();
    std::fputs((entry.dump() + "\n").c_str(), file_);
  }
}

}  // namespace qanat::linkem
