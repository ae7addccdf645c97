// Reads sites: the requirement map's supply side.
#define TOML_EXCEPTIONS 0
#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>

#include "gateway/pool/plan/plan_data.hh"
#include "gateway/pool/plan/requirement_map.hh"

namespace qanat::pool {
namespace {

struct Reader {
  std::vector<std::string>& problems;
  std::string where;

  std::string text(const toml::table& table, std::string_view key) {
    const auto value = table[key].value<std::string>();
    if (!value || value->empty())
      problems.push_back(fmt::format("{}: {}: missing, a text is expected", where, key));
    return value.value_or("");
  }
  double number(const toml::table& table, std::string_view key, double low, double high) {
    const auto value = table[key].value<double>();
    if (!value || *value < low || *value > high)
      problems.push_back(fmt::format("{}: {}: a number from {} to {} is expected", where, key, low, high));
    return value.value_or(low);
  }
  void only(const toml::table& table, std::initializer_list<std::string_view> keys) {
    for (const auto& [key, value] : table)
      if (std::find(keys.begin(), keys.end(), key.str()) == keys.end())
        problems.push_back(fmt::format("{}: {}: unknown key", where, key.str()));
  }
};

}  // namespace

std::vector<std::string> add_sites(std::vector<SiteOffer>& offers, const Catalogue& catalogue,
                                   std::string_view file, std::string_view text) {
  std::vector<std::string> problems;
  const toml::parse_result parsed = toml::parse(text, file);
  if (!parsed) {
    problems.push_back(
        fmt::format("{}:{}: {}", file, parsed.error().source().begin.line, parsed.error().description()));
    return problems;
  }
  Reader read{problems, std::string(file)};
  const toml::array* sites = parsed.table()["site"].as_array();
  if (!sites) problems.push_back(fmt::format("{}: site: missing, [[site]] tables are expected", file));
  if (!sites) return problems;
  for (const auto& node : *sites) {
    const toml::table* site = node.as_table();
    if (!site) continue;
    SiteOffer offer;
    offer.site = read.text(*site, "name");
    read.where = fmt::format("{}: site {}", file, offer.site);
    read.only(*site, {"name", "location", "rtt_ms", "g_co2_per_kwh", "cards"});
    offer.location = read.text(*site, "location");
    offer.rtt_ms = read.number(*site, "rtt_ms", 0, 10'000);
    offer.g_co2_per_kwh = read.number(*site, "g_co2_per_kwh", 0, 2000);
    const toml::array* cards = (*site)["cards"].as_array();
    if (!cards) problems.push_back(read.where + ": cards: missing, [[site.cards]] tables are expected");
    if (!cards) continue;
    for (const auto& entry : *cards) {
      const toml::table* table = entry.as_table();
      if (!table) continue;
      read.only(*table, {"card", "count", "card_hour"});
      offer.card = read.text(*table, "card");
      offer.count = static_cast<std::uint32_t>(read.number(*table, "count", 1, 100'000));
      offer.card_hour = read.number(*table, "card_hour", 0, 1e6);
      if (!catalogue.card(offer.card))
        problems.push_back(fmt::format("{}: card: no \"{}\" in the card data", read.where, offer.card));
      else
        offers.push_back(offer);
    }
  }
  return problems;
}

const std::vector<SiteOffer>& sample_sites() {
  static const std::vector<SiteOffer> sites = [] {
    std::vector<SiteOffer> offers;
    add_sites(offers, built_in(), "sites.toml", kSitesToml);
    return offers;
  }();
  return sites;
}

}  // namespace qanat::pool
