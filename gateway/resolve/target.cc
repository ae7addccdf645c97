#include "gateway/resolve/target.hh"

#include <chrono>

namespace qanat::resolve {

boost::system::result<Target, c_url::ParseError> parse_target(std::string_view text,
                                                              std::string_view service) {
  Target target;
  if (text.substr(0, 6) != "c-url:" && text.substr(0, 6) != "C-URL:") {
    target.text = std::string(text);
    target.request.service = std::string(service);
    target.request.model = target.text;
    target.by_name = true;
    return target;
  }
  auto parsed = c_url::CUrl::parse(text);
  if (!parsed) return parsed.error();
  if (parsed->service != service) {
    const std::size_t authority = text.find("//");
    const std::size_t slash = authority == std::string_view::npos ? authority : text.find('/', authority + 2);
    return c_url::ParseError{c_url::Errc::BadService, slash == std::string_view::npos ? 0 : slash + 1,
                             parsed->service, "the service '" + std::string(service) + "' for this API"};
  }
  target.request = std::move(*parsed);
  target.text = c_url::to_string(target.request);
  return target;
}

place::Wish wish_of(const Target& target, const place::Wish& defaults) {
  place::Wish wish = defaults;
  if (const auto ttft = target.request.number("ttft")) wish.ttft = std::chrono::milliseconds(*ttft);
  if (const auto tpot = target.request.number("tpot")) wish.tpot = std::chrono::milliseconds(*tpot);
  if (const auto prefer = target.request.choice("prefer")) {
    if (*prefer == "cost") wish.prefer = place::Prefer::Cost;
    if (*prefer == "time") wish.prefer = place::Prefer::Time;
    if (*prefer == "latency") wish.prefer = place::Prefer::Latency;
    if (*prefer == "green") wish.prefer = place::Prefer::Green;
  }
  return wish;
}

ids::Tier tier_of(const Target& target) {
  const auto text = target.request.choice("tier");
  const auto tier = text ? ids::parse_tier(*text) : std::nullopt;
  return tier.value_or(ids::Tier::Interactive);
}

}  // namespace qanat::resolve
