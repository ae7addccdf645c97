// Records of benches that are programs: one line of JSON each, stamped with machine, kernel and commit by their `measure`.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace qanat::bench {

struct Verdict {
  double target = 0;
  bool pass = false;
};

inline void record(const std::string& bench, const std::string& metric, double value, const std::string& unit,
                   std::optional<Verdict> verdict = {}) {
  fmt::print(
      "{{\"bench\":\"{}\",\"metric\":\"{}\",\"value\":{:.4g},\"unit\":\"{}\",\"peer\":\"\",\"peer_value\":"
      "null,\"ratio\":null,\"target\":{},\"pass\":{}}}\n",
      bench, metric, value, unit, verdict ? fmt::format("{:g}", verdict->target) : "null",
      verdict ? (verdict->pass ? "true" : "false") : "null");
}

inline double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 != 0 ? values[half] : (values[half - 1] + values[half]) / 2;
}

}  // namespace qanat::bench
