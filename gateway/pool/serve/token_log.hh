// TokenLog: what a real-time engine was given and when its tokens were planned and written, one line each, so that a run
// can be laid beside the same arrivals in virtual time. Off unless the configuration names a file.
//
//   submit STATION CALL NS PROMPT OUTPUT PRIORITY BLOCK…   (hashes in hexadecimal)
//   cancel CALL NS
//   token CALL INDEX PLANNED_NS
//   wrote CALL INDEX LATE_NS                       (from the plan to the kernel having the bytes)
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "gateway/pool/engine/engine.hh"

namespace qanat::pool {

class TokenLog {
 public:
  // Truncates the file. Throws std::system_error naming it.
  explicit TokenLog(const std::string& path);
  ~TokenLog();
  TokenLog(const TokenLog&) = delete;
  TokenLog& operator=(const TokenLog&) = delete;

  // `station`: which of the pool's engines, counted over all models.
  void submitted(std::uint32_t station, const Call& call, base::Time now);
  void cancelled(CallId call, base::Time now);
  void token(const TokenEvent& event);
  void wrote(CallId call, std::uint32_t index, base::Duration late);
  void flush();

 private:
  void full();
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Close> file_;
  std::string lines_;
};

}  // namespace qanat::pool
