// LoadTest: the white paper's test in virtual time. N clients begin together, each sends one request of 1024 tokens in
// and 1024 out; a row of its table is the largest N at which a stream still gets 15 tokens/s on average, the wait for
// the first token included.
#pragma once

#include <cstdint>

#include "gateway/pool/engine/engine.hh"

namespace qanat::pool {

struct LoadTest {
  std::uint32_t input = 1024;
  std::uint32_t output = 1024;
  double tokens_per_s = 15;  // each stream must get
  EngineLimits limits;       // the server's settings
};

// Means over all streams.
struct LoadResult {
  double tokens_per_s = 0;  // output over the time from sending to the last token
  double ttft_s = 0;
  double tpot_s = 0;
};
// All zero when the model does not fit.
LoadResult run_load(const Roofline& roofline, const LoadTest& test, std::uint32_t clients);

bool can_run(const Roofline& roofline, const LoadTest& test);
// The number of clients at which the rate is just held, between whole numbers by interpolation; below 1 when one alone
// does not hold it; 0 when the model does not fit. `guess` only saves time.
double max_concurrency(const Roofline& roofline, const LoadTest& test, double guess = 32);
// The same as the table counts: whole streams.
std::uint32_t whole_streams(double concurrency);

}  // namespace qanat::pool
