// Traces: request logs of production systems, as the pool bench replays them (shared data, llm/azure, llm/mooncake).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.hh"

namespace qanat::bench {

struct TraceCall {
  base::Time arrival{};
  std::uint32_t input = 0, output = 0;
  std::vector<std::uint64_t>
      blocks;  // one id per 512 prompt tokens: equal id, equal prefix; empty where unknown
};

// CSV: TIMESTAMP,ContextTokens,GeneratedTokens. Times count from the first row. Throws std::system_error naming the file.
std::vector<TraceCall> read_azure(const std::string& path);
// JSON lines: timestamp (ms), input_length, output_length, hash_ids.
std::vector<TraceCall> read_mooncake(const std::string& path);

}  // namespace qanat::bench
