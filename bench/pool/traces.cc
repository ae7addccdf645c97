#include "bench/pool/traces.hh"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

namespace qanat::bench {
namespace {

std::ifstream open(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::system_error(errno, std::generic_category(), "cannot open " + path);
  return file;
}

}  // namespace

std::vector<TraceCall> read_azure(const std::string& path) {
  std::ifstream file = open(path);
  std::vector<TraceCall> calls;
  double begin = -1;
  for (std::string line; std::getline(file, line);) {
    int day = 0, hour = 0, minute = 0;
    double second = 0;
    TraceCall call;
    if (std::sscanf(line.c_str(), "%*d-%*d-%d %d:%d:%lf,%u,%u", &day, &hour, &minute, &second, &call.input,
                    &call.output) != 6)
      continue;  // the header
    const double at = day * 86400.0 + hour * 3600 + minute * 60 + second;
    if (begin < 0) begin = at;
    call.arrival = base::Time(base::Duration(std::llround((at - begin) * 1e9)));
    call.input = std::max(1u, call.input);
    call.output = std::max(1u, call.output);
    calls.push_back(std::move(call));
  }
  std::ranges::stable_sort(calls, {}, &TraceCall::arrival);
  return calls;
}

std::vector<TraceCall> read_mooncake(const std::string& path) {
  std::ifstream file = open(path);
  std::vector<TraceCall> calls;
  for (std::string line; std::getline(file, line);) {
    if (line.empty()) continue;
    const auto row = nlohmann::json::parse(line);
    TraceCall call;
    call.arrival = base::Time(std::chrono::milliseconds(row.at("timestamp").get<std::int64_t>()));
    call.input = std::max(1u, row.at("input_length").get<std::uint32_t>());
    call.output = std::max(1u, row.at("output_length").get<std::uint32_t>());
    call.blocks = row.at("hash_ids").get<std::vector<std::uint64_t>>();
    // Only whole blocks are content that can be shared.
    call.blocks.resize(std::min<std::size_t>(call.blocks.size(), call.input / 512));
    calls.push_back(std::move(call));
  }
  std::ranges::stable_sort(calls, {}, &TraceCall::arrival);
  return calls;
}

}  // namespace qanat::bench
