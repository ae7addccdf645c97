// Target: what a caller's `model` names: a C-URL or a catalogue name, as one request that pools are held against.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/place/decide.hh"
#include "identifiers/c_url/c_url.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::resolve {

struct Target {
  std::string text;  // canonical C-URL, or the name as given
  c_url::CUrl request;
  // A name that is one of a pool's models exactly; C-URLs may leave the model open.
  bool by_name = false;
  std::vector<c_url::CUrl> within = {};  // of which a pool must meet one as well; empty: any
};

// Text that begins with "c-url:" is parsed as one, anything else is a catalogue name.
// `service` is what the API at hand offers ("infer"): a C-URL for another one is BadService, at its place.
boost::system::result<Target, c_url::ParseError> parse_target(std::string_view text,
                                                              std::string_view service);

// The C-URL's own SLA and objective over the gateway's defaults.
place::Wish wish_of(const Target& target, const place::Wish& defaults);
ids::Tier tier_of(const Target& target);

}  // namespace qanat::resolve
