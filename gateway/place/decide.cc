#include "gateway/place/decide.hh"

#include <algorithm>
#include <array>

namespace qanat::place {
namespace {

meter::Nano ms(base::Duration d) { return d.count() / 1'000'000; }
base::Duration over(base::Duration predicted, base::Duration allowed) {
  return std::max(predicted - allowed, base::Duration{0});
}

void score(const Wish& wish, Option& o) {
  const Demand& demand = wish.demand;
  o.cost = meter::charge(o.price, demand.prompt_tokens, demand.output_tokens);
  const meter::Nano late_ms =
      ms(over(o.forecast.ttft, wish.ttft)) +
      ms(over(o.forecast.tpot, wish.tpot)) * static_cast<meter::Nano>(demand.output_tokens);
  o.holds_sla = o.forecast.ttft <= wish.ttft && o.forecast.tpot <= wish.tpot;
  meter::Nano price = o.cost, haste = 0;
  switch (wish.prefer) {
    case Prefer::None:
    case Prefer::Green:  // until descriptors state carbon, the caller's word for "no hurry"
      break;
    case Prefer::Cost: price *= 4; break;
    case Prefer::Time: haste = ms(o.forecast.total(demand.output_tokens)) * kHasteNanoPerMs; break;
    case Prefer::Latency: haste = ms(o.forecast.ttft) * kHasteNanoPerMs; break;
  }
  o.score = price + haste + late_ms * kLatenessNanoPerMs;
}

// Of those within a tenth of the best, two are drawn and the shorter wait wins.
std::size_t pick(const std::vector<Option>& options, const std::vector<std::size_t>& ranked,
                 std::uint64_t random) {
  const meter::Nano best = options[ranked.front()].score;
  std::size_t near = 1;
  while (near < ranked.size() && options[ranked[near]].score <= best + best / 10) ++near;
  if (near == 1) return 0;
  const std::size_t a = (random & 0xffffffff) % near;
  std::size_t b = (random >> 32) % (near - 1);
  if (b >= a) ++b;
  return options[ranked[b]].forecast.ttft < options[ranked[a]].forecast.ttft ? b : a;
}

}  // namespace

Decision decide(const Wish& wish, std::vector<Option> options, std::uint64_t random) {
  Decision d;
  d.options = std::move(options);
  std::vector<std::size_t> fresh, stale;
  bool local_exists = false, only_waiting = false;
  base::Duration shortest_wait = base::Duration::max();
  for (std::size_t i = 0; i < d.options.size(); ++i) {
    Option& o = d.options[i];
    // A local pool that is merely ill still counts: what replaces it is overflow.
    if (o.local && (o.excluded == Excluded::No || o.excluded >= Excluded::Health)) local_exists = true;
    if (o.excluded == Excluded::Health || o.excluded == Excluded::Breaker || o.excluded == Excluded::Unknown)
      only_waiting = true;
    if (o.excluded == Excluded::Cold) d.warm_in = std::min(d.warm_in.value_or(o.ready_in), o.ready_in);
    if (o.excluded != Excluded::No) continue;
    score(wish, o);
    if (o.forecast.ttft > std::max(wish.give_up, wish.ttft)) {
      o.excluded = Excluded::Wait;
      shortest_wait = std::min(shortest_wait, o.forecast.wait);
      only_waiting = true;
      continue;
    }
    (o.stale ? stale : fresh).push_back(i);
  }

  const auto by_score = [&](std::size_t a, std::size_t b) { return d.options[a].score < d.options[b].score; };
  std::stable_sort(fresh.begin(), fresh.end(), by_score);
  std::stable_sort(stale.begin(), stale.end(), by_score);
  const auto to_front = [](std::vector<std::size_t>& v, std::size_t at) {
    std::rotate(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(at),
                v.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  };

  if (!fresh.empty()) {
    const auto home = std::find_if(fresh.begin(), fresh.end(), [&](std::size_t i) {
      return d.options[i].local && d.options[i].holds_sla;
    });
    if (home != fresh.end()) {
      to_front(fresh, static_cast<std::size_t>(home - fresh.begin()));
      d.reason = Reason::Local;
    } else {
      to_front(fresh, pick(d.options, fresh, random));
      d.reason = d.options[fresh.front()].local ? Reason::LocalLate
                 : local_exists                 ? Reason::Overflow
                                                : Reason::Remote;
    }
  } else if (!stale.empty()) {
    d.reason = Reason::LastResort;
  } else if (only_waiting || d.warm_in) {
    if (d.warm_in) shortest_wait = std::min(shortest_wait, *d.warm_in);
    d.retry_after =
        shortest_wait == base::Duration::max() ? base::Duration{std::chrono::seconds{1}} : shortest_wait;
    d.retry_after = std::max(d.retry_after, base::Duration{1});
  }
  d.order = std::move(fresh);
  d.order.insert(d.order.end(), stale.begin(), stale.end());
  return d;
}

std::string_view to_string(Excluded reason) {
  static constexpr std::array<std::string_view, kExcludedCount> kNames{
      "",        "unknown", "model",  "service", "location", "spec",  "residency", "price",
      "context", "scope",   "health", "breaker", "wait",     "valve", "cold"};
  return kNames[static_cast<std::size_t>(reason)];
}

std::string_view to_string(Reason reason) {
  switch (reason) {
    case Reason::Local: return "local";
    case Reason::Overflow: return "overflow";
    case Reason::Remote: return "remote";
    case Reason::LocalLate: return "local_late";
    case Reason::LastResort: return "last_resort";
    case Reason::Nothing: return "nothing";
  }
  return "unknown";
}

}  // namespace qanat::place
