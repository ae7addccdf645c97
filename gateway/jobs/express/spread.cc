#include "gateway/jobs/express/spread.hh"

#include <algorithm>
#include <tuple>
#include <utility>

namespace qanat::jobs {

unsigned nearness(const Holder& a, const Holder& b) {
  if (!a.site.empty() && a.site == b.site) return UINT32_MAX;
  unsigned common = 0;
  std::string_view left = a.location, right = b.location;
  while (!left.empty() && !right.empty()) {
    const std::size_t l = left.rfind('.'), r = right.rfind('.');
    const auto last = [](std::string_view text, std::size_t dot) {
      return dot == std::string_view::npos ? text : text.substr(dot + 1);
    };
    if (last(left, l) != last(right, r)) break;
    ++common;
    left = l == std::string_view::npos ? std::string_view() : left.substr(0, l);
    right = r == std::string_view::npos ? std::string_view() : right.substr(0, r);
  }
  return common;
}

std::string_view to_string(Spread::State state) {
  static constexpr std::string_view kNames[] = {"waiting", "moving", "lost", "there"};
  return kNames[static_cast<std::size_t>(state)];
}

Spread::Spread(Holder home, std::vector<Holder> targets, const std::vector<bool>& there)
    : home_(std::move(home)) {
  for (std::size_t i = 0; i < targets.size(); ++i) {
    Target& t = targets_.emplace_back();
    t.is = std::move(targets[i]);
    if (there[i]) t.state = State::There;
  }
}

unsigned Spread::busy(const std::string& source) const {
  return static_cast<unsigned>(std::count_if(targets_.begin(), targets_.end(), [&](const Target& t) {
    return t.state == State::Moving && t.from == source;
  }));
}

std::optional<Spread::Leg> Spread::poll_leg() {
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    Target& t = targets_[i];
    if (t.state != State::Waiting) continue;
    // Nearest, then who has least to do, then another pool rather than home, whose uplink is everybody's.
    std::optional<std::tuple<unsigned, unsigned, bool, std::size_t>> best;
    unsigned soon = 0;
    const auto look = [&](std::size_t source) {
      const Holder& from = holder(source);
      const unsigned legs = busy(from.name);
      if (t.lost % 2 == 1 && t.from == from.name && source != kHome)
        return;  // where it was lost: elsewhere first
      if (legs < kLegsEach) {
        const std::tuple rank(nearness(t.is, from), kLegsEach - legs, source != kHome, source);
        if (!best || rank > *best) best = rank;
      } else {
        soon = std::max(soon, nearness(t.is, from));
      }
    };
    look(kHome);
    for (std::size_t j = 0; j < targets_.size(); ++j) {
      if (j == i) continue;
      if (targets_[j].state == State::There) look(j);
      if (targets_[j].state == State::Moving) soon = std::max(soon, nearness(t.is, targets_[j].is));
    }
    if (!best || std::get<0>(*best) < soon) continue;
    const std::size_t source = std::get<3>(*best);
    t.state = State::Moving;
    t.from = holder(source).name;
    return Leg{i, source};
  }
  return std::nullopt;
}

void Spread::on_there(std::size_t target) {
  if (targets_[target].state == State::Moving) targets_[target].state = State::There;
}

void Spread::on_lost(std::size_t target) {
  if (targets_[target].state != State::Moving) return;
  targets_[target].state = State::Lost;
  ++targets_[target].lost;
}

void Spread::again(std::size_t target) {
  if (targets_[target].state == State::Lost) targets_[target].state = State::Waiting;
}

bool Spread::done(unsigned tries) const {
  return std::all_of(targets_.begin(), targets_.end(), [&](const Target& t) {
    return t.state == State::There || (t.state == State::Lost && t.lost >= tries);
  });
}

}  // namespace qanat::jobs
