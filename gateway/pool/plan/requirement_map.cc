#include "gateway/pool/plan/requirement_map.hh"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

namespace qanat::pool {
namespace {

double seconds(base::Duration d) { return std::chrono::duration<double>(d).count(); }

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

// Why even one stream is too much, in words.
std::string too_much(const Prediction& one, const Requirement& r) {
  if (one.tpot_s > seconds(r.tpot))
    return fmt::format("one stream alone gets a token every {:.0f} ms", one.tpot_s * 1e3);
  return fmt::format("one prompt alone takes {:.1f} s to its first token", one.ttft_s);
}

Choice judge(const Catalogue& catalogue, const SiteOffer& offer, const Model& model,
             const Requirement& wanted) {
  Choice choice;
  choice.offer = offer;
  Requirement r = wanted;
  r.ttft -= std::chrono::microseconds(static_cast<std::int64_t>(offer.rtt_ms * 1e3));
  const Card& card = *catalogue.card(offer.card);
  const Profile* known = catalogue.profile(card.profile);
  const Profile profile = known ? *known : Profile{};
  std::string reason = fmt::format("{:.0f} GB of weights and a request's KV entries do not fit on {} × {}",
                                   model.weight_bytes() / 1e9, offer.count, card.name);
  for (std::uint32_t cards = 1; cards <= offer.count && cards <= 16; cards *= 2) {
    const Prediction one = predict(card, cards, model, profile, r, 1);
    if (!one.fits) continue;
    if (!one.holds(r)) {
      reason = fmt::format("on {} cards {}", cards, too_much(one, r));
      continue;
    }
    const std::uint32_t each = capacity(card, cards, model, profile, r, r.streams);
    const std::uint32_t engines = (r.streams + each - 1) / each;
    const std::uint32_t total = engines * cards;
    if (total > offer.count) {
      reason = fmt::format("{} engines of {} would be needed ({} streams each), {} cards are here", engines,
                           cards, each, offer.count);
      continue;
    }
    if (choice.holds && total >= choice.cards()) continue;
    choice.holds = true;
    choice.tensor_parallel = cards;
    choice.engines = engines;
    choice.streams_per_engine = each;
    choice.predicted = predict(card, cards, model, profile, r, (r.streams + engines - 1) / engines);
  }
  if (!choice.holds) {
    choice.why = reason;
    return choice;
  }
  choice.predicted.ttft_s += offer.rtt_ms * 1e-3;
  choice.price_per_hour = choice.cards() * offer.card_hour;
  choice.price_per_million =
      choice.price_per_hour / (choice.predicted.tokens_per_s * choice.engines * 3600) * 1e6;
  choice.kg_co2_per_hour = choice.cards() * card.watts / 1000 * offer.g_co2_per_kwh / 1000;
  choice.why = fmt::format("{} engine{} of {}, room for {} streams each; KV memory {:.0f} % at most",
                           choice.engines, choice.engines == 1 ? "" : "s", choice.tensor_parallel,
                           choice.streams_per_engine, choice.predicted.kv_peak * 100);
  return choice;
}

}  // namespace

std::vector<Choice> choose(const Catalogue& catalogue, const std::vector<SiteOffer>& offers,
                           const Requirement& requirement) {
  std::vector<Choice> choices;
  const Model* model = catalogue.model(requirement.model);
  if (!model) return choices;
  for (const SiteOffer& offer : offers) choices.push_back(judge(catalogue, offer, *model, requirement));
  std::stable_sort(choices.begin(), choices.end(), [](const Choice& a, const Choice& b) {
    return a.holds != b.holds ? a.holds : a.price_per_hour < b.price_per_hour;
  });
  return choices;
}

std::string find_model(const Catalogue& catalogue, std::string_view text) {
  if (const Model* exact = catalogue.model(text)) return exact->name;
  std::vector<std::string> fitting;
  for (const auto& [name, model] : catalogue.models)
    if (lower(name).find(lower(text)) != std::string::npos) fitting.push_back(name);
  const auto distilled = [](const std::string& name) { return name.find("distill") != std::string::npos; };
  if (fitting.size() > 1 && std::count_if(fitting.begin(), fitting.end(), distilled) == 1)
    return *std::find_if(fitting.begin(), fitting.end(), distilled);
  return fitting.size() == 1 ? fitting.front() : std::string();
}

}  // namespace qanat::pool
