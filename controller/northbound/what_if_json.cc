#include "controller/northbound/what_if_json.hh"

#include <charconv>

#include "controller/northbound/object_reader.hh"
#include "identifiers/ids/sid.hh"

namespace qanat::northbound {
namespace {

using session::WhatIf;
using session::WhatIfAnswer;

constexpr std::uint32_t kMostUs = 60'000'000;
constexpr std::size_t kMostChanges = 10'000;

Json way_json(const std::optional<WhatIfAnswer::Way>& way) {
  if (!way) return nullptr;
  return {{"names", way->names},   {"planes", way->planes},     {"cost_us", way->cost_us},
          {"rtt_us", way->rtt_us}, {"loss_ppm", way->loss_ppm}, {"jitter_us", way->jitter_us}};
}

Json slas_json(const std::vector<WhatIfAnswer::SlaChange>& changes) {
  const auto value = [](const std::optional<std::uint32_t>& v) { return v ? Json(*v) : Json(nullptr); };
  Json out = Json::array();
  for (const auto& c : changes) {
    out.push_back({{"tenant", c.tenant},
                   {"tier", ids::to_string(c.tier)},
                   {"from", c.from},
                   {"to", c.to},
                   {"term", c.term},
                   {"limit", c.limit},
                   {"before", value(c.before)},
                   {"after", value(c.after)}});
  }
  return out;
}

double rate(ObjectReader& at) {
  const Json* value = at.take("mbps", Json::value_t::number_float);
  if (value == nullptr) return 0;
  const double mbps = value->get<double>();
  if (mbps >= 0 && mbps <= 1e9) return mbps;
  at.problem("mbps", "out of range");
  return 0;
}

ids::Tier tier(ObjectReader& at) {
  const std::string text = at.string("tier");
  const auto tier = text.empty() ? std::optional(ids::Tier::Interactive) : ids::parse_tier(text);
  if (!tier) at.problem("tier", "critical, interactive, bulk or scavenger");
  return tier.value_or(ids::Tier::Interactive);
}

}  // namespace

std::variant<WhatIf, Problems> parse_what_if(std::string_view body) {
  Problems problems;
  const Json json = Json::parse(body, nullptr, false);
  ObjectReader root(json, "", problems);
  WhatIf q;
  q.fail_nodes = root.strings("fail_nodes");
  q.fail_risks = root.strings("fail_risks");
  root.objects("fail_links", [&](ObjectReader& at) {
    q.fail_links.push_back({at.string("a", true), at.string("b", true),
                            static_cast<std::uint32_t>(at.number("plane", 0, ids::PlaneId::kMax))});
  });
  if (const Json* planes = root.take("fail_planes", Json::value_t::array)) {
    for (const Json& plane : *planes) {
      if (plane.is_number_unsigned() && plane.get<std::uint64_t>() <= ids::PlaneId::kMax)
        q.fail_planes.push_back(plane.get<std::uint32_t>());
      else
        root.problem("fail_planes", "not a list of planes, 1 to 15");
    }
  }
  root.objects("add_links", [&](ObjectReader& at) {
    WhatIf::NewLink link{.a = at.string("a", true), .b = at.string("b", true)};
    link.plane = static_cast<std::uint32_t>(at.number("plane", 1, ids::PlaneId::kMax, true));
    link.rtt_us = at.scaled("rtt_ms", 1000, kMostUs);
    link.loss_ppm = at.scaled("loss_pct", 10'000, 1'000'000);
    if (link.rtt_us == 0) at.problem("rtt_ms", "missing, or 0");
    q.add_links.push_back(std::move(link));
  });
  if (const Json* planes = root.take("planes", Json::value_t::object)) {
    for (const auto& [name, price] : planes->items()) {
      std::uint32_t plane = 0;
      ObjectReader at(price, "planes." + name + ".", problems);
      if (std::from_chars(name.data(), name.data() + name.size(), plane).ptr != name.data() + name.size() ||
          plane > ids::PlaneId::kMax)
        problems.push_back("planes." + name + ": no plane, 1 to 15");
      q.tolls_us[static_cast<std::uint8_t>(plane)] = at.scaled("toll_ms", 1000, kMostUs);
      at.finish();
    }
  }
  root.objects("demands", [&](ObjectReader& at) {
    WhatIf::Demand demand{.from = at.string("from", true), .to = at.string("to", true)};
    demand.moved_to = at.string("moved_to");
    demand.tier = tier(at);
    demand.mbps = rate(at);
    q.demands.push_back(std::move(demand));
  });
  root.objects("capacities", [&](ObjectReader& at) {
    WhatIf::Capacity capacity{.a = at.string("a", true), .b = at.string("b", true)};
    capacity.plane = static_cast<std::uint32_t>(at.number("plane", 1, ids::PlaneId::kMax, true));
    capacity.mbps = rate(at);
    q.capacities.push_back(std::move(capacity));
  });
  root.finish();
  if (q.fail_nodes.size() + q.fail_risks.size() + q.fail_links.size() + q.add_links.size() +
          q.demands.size() >
      kMostChanges)
    problems.emplace_back("more than 10000 changes");
  if (!problems.empty()) return problems;
  return q;
}

std::string to_json(const WhatIfAnswer& answer) {
  Json moved = Json::array(), demands = Json::array();
  for (const auto& m : answer.moved)
    moved.push_back(
        {{"from", m.from}, {"to", m.to}, {"before", way_json(m.before)}, {"after", way_json(m.after)}});
  for (const auto& d : answer.demands) {
    demands.push_back({{"from", d.from},
                       {"to", d.to},
                       {"moved_to", d.moved_to},
                       {"tier", ids::to_string(d.tier)},
                       {"asked_mbps", d.asked},
                       {"before_mbps", d.before},
                       {"after_mbps", d.after},
                       {"way_before", way_json(d.way_before)},
                       {"way_after", way_json(d.way_after)}});
  }
  return text_of(Json{{"pairs", answer.pairs},
                      {"moved", moved},
                      {"slas_broken", slas_json(answer.broken)},
                      {"slas_mended", slas_json(answer.mended)},
                      {"slas_broken_already", slas_json(answer.already_broken)},
                      {"demands", demands}});
}

}  // namespace qanat::northbound
