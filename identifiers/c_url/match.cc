#include "identifiers/c_url/match.hh"

#include <algorithm>
#include <tuple>
#include <utility>

namespace qanat::c_url {
namespace {

std::string joined(const std::vector<std::string>& names, std::string_view none) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ",") + name;
  return text.empty() ? std::string(none) : text;
}

bool in_any_region(const std::vector<std::string>& regions, const Location& place) {
  return std::any_of(regions.begin(), regions.end(), [&](const std::string& region) {
    Location pattern;
    return parse_location(region, pattern) == std::string_view::npos && contains(pattern, place);
  });
}

}  // namespace

std::string to_string(const Mismatch& m) {
  return m.clause + ": wanted " + m.wanted + ", offered " + m.offered;
}

std::optional<Mismatch> mismatch(const CUrl& request, const Offer& offer) {
  auto differs = [](std::string_view clause, std::string_view wanted, std::string_view offered) {
    return Mismatch{std::string(clause), std::string(wanted),
                    offered.empty() ? "none" : std::string(offered)};
  };
  if (!request.provider.empty() && request.provider != offer.provider) {
    return differs("provider", request.provider, offer.provider);
  }
  if (!matches(request.location, offer.location)) {
    return differs("location", to_string(request.location), to_string(offer.location));
  }
  if (std::find(offer.services.begin(), offer.services.end(), request.service) == offer.services.end()) {
    return differs("service", request.service, offer.services.empty() ? "" : offer.services.front());
  }
  if (!request.model.empty() && request.model != offer.model)
    return differs("model", request.model, offer.model);
  if (!request.version.empty() && request.version != offer.version) {
    return differs("version", request.version, offer.version);
  }
  // Keys that name what may serve: one of the list.
  for (auto [key, offered] : {std::pair<std::string_view, std::string_view>{"instance", offer.instance},
                              {"accel", offer.accelerator},
                              {"dtype", offer.dtype}}) {
    const auto& wanted = request.names(key);
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), offered) == wanted.end()) {
      return differs(key, joined(wanted, ""), offered);
    }
  }
  // Keys that state a least amount.
  for (auto [key, offered] : {std::pair<std::string_view, std::int64_t>{"cards", offer.cards},
                              {"mem", offer.memory_bytes},
                              {"ctx", offer.context_tokens}}) {
    auto wanted = request.number(key);
    if (wanted && offered < *wanted) return differs(key, std::to_string(*wanted), std::to_string(offered));
  }
  if (auto most = request.number("max_price"); most && offer.price_nano > *most) {
    return differs("max_price", std::to_string(*most), std::to_string(offer.price_nano));
  }
  const Location& residency = offer.residency.any() ? offer.location : offer.residency;
  if (const auto& regions = request.names("within");
      !regions.empty() && !(in_any_region(regions, offer.location) && in_any_region(regions, residency))) {
    return differs("within", joined(regions, ""), to_string(residency));
  }
  if (auto plane = request.choice("plane");
      plane && !offer.planes.empty() &&
      std::find(offer.planes.begin(), offer.planes.end(), *plane) == offer.planes.end()) {
    return differs("plane", *plane, offer.planes.front());
  }
  return std::nullopt;
}

std::strong_ordering compare_specificity(const CUrl& a, const CUrl& b) {
  auto rank = [](const CUrl& url) {
    return std::make_tuple(url.is_instance(), !url.version.empty(), !url.model.empty(),
                           url.location.exact_labels(), !url.provider.empty(), url.query.size());
  };
  if (auto order = rank(a) <=> rank(b); order != 0) return order;
  return to_string(a) <=> to_string(b);
}

}  // namespace qanat::c_url
