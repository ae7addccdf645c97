// Calibration: the white paper's load test run against the engine in virtual time, and the search for a
// card's fit. N clients in a closed loop, input 1024, output 1024; a row's figure is the largest N at which
// every stream still gets 15 tokens/s on average, first-token time included.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gateway/pool/engine/card.hh"
#include "gateway/pool/engine/engine.hh"

namespace qanat::pool {

struct LoadTest {
  std::uint32_t input = 1024;
  std::uint32_t output = 1024;
  std::uint32_t rounds = 3;  // requests each client makes, one after the other
  double tokens_per_s = 15;  // each stream must get
  EngineLimits limits;       // the engine's settings
};

// Output tokens over the time from sending to the last token, mean over all requests.
double stream_rate(const Roofline& roofline, const LoadTest& test, std::uint32_t clients);

// The largest number of clients whose streams hold the rate; 0 when one alone does not or the model does not
// fit.
std::uint32_t max_concurrency(const Card& card, std::uint32_t cards, const Model& model,
                              const LoadTest& test);

// One row of the published table.
struct PublishedRow {
  std::string card, model;
  std::uint32_t cards = 0;
  std::uint32_t concurrency = 0;
  bool runs = true;  // false: the table has a dash
};

// Sum over the rows of the squared log ratio of predicted to published concurrency.
double misfit(const Card& card, const std::vector<PublishedRow>& rows, const LoadTest& test);

// Coordinate search over the five fitted numbers inside their bounds, from the card's present fit.
CardFit fit(Card card, const std::vector<PublishedRow>& rows, const LoadTest& test);

}  // namespace qanat::pool
