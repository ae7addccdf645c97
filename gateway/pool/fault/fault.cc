#include "gateway/pool/fault/fault.hh"

#include <algorithm>
#include <array>
#include <bit>
#include <nlohmann/json.hpp>

namespace qanat::pool {
namespace {

constexpr std::array<std::string_view, 7> kNames{
    "card_lost", "slow_card", "link_degraded", "out_of_memory", "throttled", "driver_reset", "lying_metrics"};
constexpr double kMemoryAfterOom = 0.85;  // of the KV blocks, once an engine has died of its memory

bool concerns(const Fault& fault, std::string_view model) {
  return fault.model.empty() || fault.model == model;
}

}  // namespace

std::string_view to_string(FaultKind kind) { return kNames[static_cast<std::size_t>(kind)]; }

boost::system::result<Fault, std::string> parse_fault(const nlohmann::json& json) {
  if (!json.is_object()) return std::string("the body is not a JSON object");
  Fault fault;
  bool named = false;
  for (const auto& [key, value] : json.items()) {
    const auto number = [&value = value](double low, double high) {
      return value.is_number() && value.get<double>() >= low && value.get<double>() <= high;
    };
    if (key == "kind" && value.is_string()) {
      const auto found = std::find(kNames.begin(), kNames.end(), value.get<std::string>());
      if (found == kNames.end()) {
        std::string known;
        for (const auto name : kNames) known += (known.empty() ? "" : ", ") + std::string(name);
        return "kind: none of " + known;
      }
      fault.kind = static_cast<FaultKind>(found - kNames.begin());
      named = true;
    } else if (key == "model" && value.is_string()) {
      fault.model = value.get<std::string>();
    } else if (key == "factor" && number(0.001, 1)) {
      fault.factor = value.get<double>();
    } else if (key == "cards" && value.is_number_unsigned() && number(1, 1024)) {
      fault.cards = value.get<std::uint32_t>();
    } else if (key == "outage_ms" && number(0, 3.6e6)) {
      fault.outage = std::chrono::milliseconds(static_cast<std::int64_t>(value.get<double>()));
    } else if (key == "for_ms" && number(0, 8.64e7)) {
      fault.lasts = std::chrono::milliseconds(static_cast<std::int64_t>(value.get<double>()));
    } else {
      return key + ": unknown, or out of range";
    }
  }
  if (!named) return std::string("kind: missing");
  return fault;
}

nlohmann::json to_json(const Fault& fault) {
  nlohmann::json json{{"id", fault.id}, {"kind", to_string(fault.kind)}, {"factor", fault.factor}};
  if (!fault.model.empty()) json["model"] = fault.model;
  if (fault.kind == FaultKind::CardLost) json["cards"] = fault.cards;
  if (fault.outage.count() > 0) json["outage_ms"] = fault.outage.count() / 1'000'000;
  if (fault.lasts.count() > 0) json["for_ms"] = fault.lasts.count() / 1'000'000;
  return json;
}

Health health_under(std::span<const Fault> faults, std::string_view model) {
  Health health;
  for (const Fault& fault : faults) {
    if (!concerns(fault, model)) continue;
    switch (fault.kind) {
      case FaultKind::SlowCard:
        health.compute = std::min(health.compute, fault.factor);
        health.bandwidth = std::min(health.bandwidth, fault.factor);
        break;
      case FaultKind::Throttled:  // clocks fall, memory keeps its own
        health.compute = std::min(health.compute, fault.factor);
        break;
      case FaultKind::LinkDegraded: health.link = std::min(health.link, fault.factor); break;
      case FaultKind::OutOfMemory: health.memory = std::min(health.memory, kMemoryAfterOom); break;
      case FaultKind::CardLost:
      case FaultKind::DriverReset:
      case FaultKind::LyingMetrics: break;
    }
  }
  return health;
}

double lie_under(std::span<const Fault> faults, std::string_view model) {
  double lie = 1;
  for (const Fault& fault : faults)
    if (fault.kind == FaultKind::LyingMetrics && concerns(fault, model)) lie = std::min(lie, fault.factor);
  return lie;
}

std::uint32_t cards_to_go_on(const Card& card, const Model& model, const MemoryPlan& memory,
                             std::uint32_t had, std::uint32_t left) {
  for (std::uint32_t cards = left >= had ? had : std::bit_floor(left); cards > 0;
       cards = std::bit_floor(cards - 1))
    if (Roofline(card, cards, model).kv_blocks(memory) * memory.block_tokens >= 1024) return cards;
  return 0;
}

}  // namespace qanat::pool
