// PromptLog: what tenants asked, for those whose operator says so, and nobody else: a line a call, in a file a day, gone
// after some days. Off unless configured. The loop never waits for it: what a slow disk cannot take is counted and left out.
//
// FOLDER/prompts-2026-11-23.jsonl, mode 0600: {"unix_ms","call","tenant","project","key","model","body":{…}}
#pragma once

#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "base/metrics.hh"
#include "gateway/admit/accounts.hh"

namespace qanat::relay {

struct PromptLogConfig {
  std::string folder;
  std::set<std::string, std::less<>> tenants;  // whose calls are logged
  std::uint64_t day_bytes = 0;                 // of one day at most; what comes later is left out
  std::uint32_t keep_days = 1;                 // beside today
};

class PromptLog {
 public:
  static constexpr std::uint64_t kMaxWaiting = 32 * 1024 * 1024;  // bytes that wait for the disk

  // Makes the folder, and removes what is too old. Throws std::system_error naming the path.
  PromptLog(PromptLogConfig config, base::MetricsRegistry& metrics, std::uint64_t now_unix_ms);
  // Finishes what was handed in.
  ~PromptLog();

  bool wants(std::string_view tenant) const { return config_.tenants.contains(tenant); }
  // `body`: JSON, as the pool gets it but for the model.
  void put(std::uint64_t now_unix_ms, const std::string& call, const admit::KeyInfo& key,
           const std::string& model, std::string_view body);

 private:
  class Files;
  PromptLogConfig config_;
  base::Counter& kept_;
  base::Counter& left_out_;
  std::atomic<std::uint64_t> waiting_{0};
  std::unique_ptr<Files> files_;
  boost::asio::thread_pool thread_{1};
};

}  // namespace qanat::relay
