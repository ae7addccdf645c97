// RequirementMap: from a requirement to cards, counts and sites: which would hold it, what that costs, and why the others
// would not. Sites are a data file: what stands where, at what price.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gateway/pool/data/catalogue.hh"
#include "gateway/pool/plan/requirement.hh"

namespace qanat::pool {

// Cards of one kind at one place.
struct SiteOffer {
  std::string site, location, card;
  std::uint32_t count = 0;
  double card_hour = 0;  // currency per card and hour
  double rtt_ms = 0;     // from the asking side
  double g_co2_per_kwh = 0;
};

// Sites as in plan/data/sites.toml: [[site]] with name, location, rtt_ms, g_co2_per_kwh and [[site.cards]] with card,
// count, card_hour. All problems, each "FILE: key: what was wrong".
std::vector<std::string> add_sites(std::vector<SiteOffer>& offers, const Catalogue& catalogue,
                                   std::string_view file, std::string_view toml);
// The example that travels with the program.
const std::vector<SiteOffer>& sample_sites();

struct Choice {
  SiteOffer offer;
  bool holds = false;
  std::uint32_t tensor_parallel = 0;     // cards of one engine
  std::uint32_t engines = 0;             // side by side
  std::uint32_t streams_per_engine = 0;  // that one could carry
  Prediction predicted;                  // of one engine under its part of the streams
  double price_per_hour = 0;
  double price_per_million = 0;  // output tokens
  double kg_co2_per_hour = 0;    // at the boards' power
  std::string why;               // in words, for people
  std::uint32_t cards() const { return tensor_parallel * engines; }
};

// Every offer judged: those that hold it first, cheapest first.
std::vector<Choice> choose(const Catalogue& catalogue, const std::vector<SiteOffer>& offers,
                           const Requirement& requirement);

// The catalogue's model that is meant: its name, or a part of it ("70b"); a distilled one before others of equal fit.
// Empty when none or no single one fits.
std::string find_model(const Catalogue& catalogue, std::string_view text);

}  // namespace qanat::pool
