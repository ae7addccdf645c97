// What the meter's tests are about: a call, its settlement, a file of their own.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>

#include "gateway/meter/call.hh"

namespace qanat::meter {

class TempFile {
 public:
  explicit TempFile(const std::string& name)
      : path_(std::filesystem::temp_directory_path() / ("qanat-" + name + "-" + std::to_string(::getpid()))) {
    std::filesystem::remove(path_);
  }
  ~TempFile() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

inline Call call(const std::string& id, const std::string& pool = "far1") {
  return {.id = id,
          .tenant = "lab",
          .project = "default",
          .key = "key-1",
          .model = "m",
          .pool = pool,
          .path = "city>far1",
          .price = {"CNY", 400, 1600},
          .started_unix_ms = 1000};
}
inline Settlement settlement(const std::string& id, std::uint64_t prompt, std::uint64_t delivered,
                             const std::string& pool = "far1") {
  Settlement s;
  s.call = call(id, pool);
  s.prompt_tokens = prompt;
  s.delivered_tokens = delivered;
  s.source = UsageSource::Final;
  return s;
}

}  // namespace qanat::meter
