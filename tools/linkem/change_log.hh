// ChangeLog: one JSON line for every change that took effect, with its true time: what a test or a person compares
// a measurement with.
#pragma once

#include <cstdio>
#include <optional>
#include <string>

#include "tools/linkem/tun_link.hh"

namespace qanat::linkem {

class ChangeLog {
 public:
  // Appends to `path`; "" writes nothing. Throws std::system_error.
  explicit ChangeLog(const std::string& path);
  ~ChangeLog();
  ChangeLog(const ChangeLog&) = delete;

  // Changes a link and notes each direction whose settings are different afterwards.
  // {"event":"applied","cause","link","direction","before","spec","monotonic_ns","unix_ms"[,"planned_ns"]}
  void apply(TunLink& link, const Spec& up, const Spec& down, base::Time now, const char* cause,
             std::optional<base::Time> planned = {});

 private:
  std::FILE* file_ = nullptr;
};

}  // namespace qanat::linkem
