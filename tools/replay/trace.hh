// Trace: requests of a production LLM service, as when they came and how long they were. Reads the Azure LLM inference
// trace's CSV (TIMESTAMP,ContextTokens,GeneratedTokens), plain or gzip.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hh"

namespace qanat::replay {

struct TraceRow {
  base::Duration at{};  // since the first row
  std::uint32_t prompt_tokens = 0;
  std::uint32_t output_tokens = 0;
};

// "2023-11-16 18:15:46.6805900" → nanoseconds since 1970; nothing when it is not that.
std::optional<std::int64_t> parse_timestamp(std::string_view text);

// The rows, in order of time. Throws std::system_error naming the file, or std::runtime_error naming file and line.
std::vector<TraceRow> read_trace(const std::string& path);

// What to do with it.
struct ReplayPlan {
  double compress = 1;           // a gap of 10 s becomes 10/compress
  std::size_t skip = 0;          // rows left out at the beginning
  std::size_t limit = 0;         // rows taken; 0: all
  std::uint32_t max_tokens = 0;  // cap on a request's output; 0: none
  std::uint32_t max_prompt = 0;  // cap on a request's prompt; 0: none
};

// Intended send times from zero, never decreasing; at least one token each way.
std::vector<TraceRow> plan_requests(const std::vector<TraceRow>& trace, const ReplayPlan& plan);

}  // namespace qanat::replay
