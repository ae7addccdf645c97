// match: holds an offer against a request, and says which clause failed; orders requests by how much they say.
// Only what never changes is compared here; SLA, price and load are the placement's business.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "identifiers/c_url/c_url.hh"

namespace qanat::c_url {

// What an instance is, for matching; views into whatever describes it.
struct Offer {
  std::string_view instance;
  std::string_view provider;
  Location location;
  Location residency;  // where data stays; empty: the location
  std::vector<std::string_view> services;
  std::string_view model;
  std::string_view version;
  std::string_view accelerator;
  std::string_view dtype;
  std::int64_t cards = 0;
  std::int64_t memory_bytes = 0;  // of all cards
  std::int64_t context_tokens = 0;
  std::int64_t price_nano = 0;  // per output token
  std::vector<std::string_view> planes;
};

// The clause an offer fails, in the request's words: {"within", "cn", "guian.gz.us"}.
struct Mismatch {
  std::string clause;  // "provider", "location", "service", "model", "version" or the query key
  std::string wanted;
  std::string offered;
  bool operator==(const Mismatch&) const = default;
};
std::string to_string(const Mismatch& mismatch);

// nullopt: the offer meets every static clause of the request.
std::optional<Mismatch> mismatch(const CUrl& request, const Offer& offer);

// More specific is greater: an instance over a model and version, over a model, over a service; then exact location
// labels; then a provider; then the number of clauses. A partial order made total by the canonical text.
std::strong_ordering compare_specificity(const CUrl& a, const CUrl& b);

}  // namespace qanat::c_url
