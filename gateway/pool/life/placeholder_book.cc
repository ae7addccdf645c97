#include "gateway/pool/life/placeholder_book.hh"

#include <algorithm>

namespace qanat::pool {
namespace {

__extension__ typedef unsigned __int128 Wide;

std::uint64_t nano(std::uint64_t ns, std::uint64_t nano_per_s) {
  return static_cast<std::uint64_t>(std::min<Wide>(Wide{ns} * nano_per_s / 1'000'000'000, INT64_MAX));
}

}  // namespace

void PlaceholderBook::add_engine(std::string model, std::uint32_t cards) {
  Engine engine;
  engine.model = std::move(model);
  engine.cards = cards;
  engines_.push_back(std::move(engine));
}

// Brings every sum up to now, so that a change counts from its own instant.
void PlaceholderBook::count(base::Time now) {
  for (Engine& e : engines_) {
    if (e.holds && !e.holder.empty() && now > e.since)
      if (const auto right = rights_.find(e.holder); right != rights_.end())
        right->second.card_ns += static_cast<std::uint64_t>((now - e.since).count()) * e.cards;
    e.since = std::max(e.since, now);
  }
  for (auto& [id, right] : rights_) {
    if (now > right.counted && !right.removed)
      right.bound_ns += static_cast<std::uint64_t>((now - right.counted).count()) * right.wish.engines;
    right.counted = std::max(right.counted, now);
  }
}

void PlaceholderBook::grant(Right& right, std::uint32_t awake, base::Time) {
  if (!open_) awake = 0;
  std::uint32_t have = 0;
  const auto each = [&](auto&& usable, auto&& act) {
    for (std::size_t i = 0; i < engines_.size(); ++i)
      if (engines_[i].model == right.wish.model && usable(engines_[i])) act(i, engines_[i]);
  };
  const auto mine = [&](const Engine& e) { return e.holder == right.wish.id; };
  each([&](const Engine& e) { return mine(e) && e.wanted; }, [&](std::size_t, Engine&) { ++have; });
  const auto take = [&](std::size_t i, Engine& e) {
    if (have >= awake) return;
    e.holder = right.wish.id;
    e.wanted = true;
    ++have;
    actions_.push_back({Action::Kind::Wake, i});
  };
  each([&](const Engine& e) { return mine(e) && !e.wanted && e.usable; }, take);
  each([&](const Engine& e) { return e.holder.empty() && e.usable; }, take);
  // Too many: those that do not serve yet first.
  for (const bool serving : {false, true})
    each([&](const Engine& e) { return mine(e) && e.wanted && e.serving == serving; },
         [&](std::size_t i, Engine& e) {
           if (have <= awake) return;
           e.wanted = false;
           --have;
           actions_.push_back({Action::Kind::Drain, i});
         });
}

PlaceholderBook::Refused PlaceholderBook::put(const PlaceholderWish& wish, base::Time now,
                                              std::uint64_t epoch) {
  count(now);
  auto found = rights_.find(wish.id);
  if (found == rights_.end()) {
    if (rights_.size() >= kMost) return Refused::Full;
    Right right;
    right.bound = right.counted = now;
    const auto earlier = restored_.find(wish.id);
    if (earlier != restored_.end() && earlier->second.owner == wish.owner) {
      right.past = earlier->second.count;
      right.card_ns = right.past.card_ns;
      right.bound_ns = right.past.bound_ns;
    } else {
      right.past.epoch = last_epoch_ = std::max(epoch, last_epoch_ + 1);
    }
    if (earlier != restored_.end()) restored_.erase(earlier);
    found = rights_.emplace(wish.id, right).first;
    for (std::size_t i = 0; i < engines_.size(); ++i)
      if (engines_[i].model == wish.model) actions_.push_back({Action::Kind::Stage, i});
  } else if (found->second.wish.owner != wish.owner) {
    return Refused::OtherOwner;
  } else if (found->second.wish.model != wish.model) {
    return Refused::OtherModel;
  }
  Right& right = found->second;
  right.wish = wish;
  right.wish.awake = std::min(wish.awake, wish.engines);
  right.renewed = now;
  right.removed = false;
  grant(right, right.wish.awake, now);
  return Refused::No;
}

void PlaceholderBook::restore(const std::string& id, const std::string& owner, const LeaseCount& count) {
  restored_[id] = {owner, count};
  last_epoch_ = std::max(last_epoch_, count.epoch);
}

void PlaceholderBook::set_price(const PlaceholderPrice& price, base::Time now) {
  count(now);
  for (auto& [id, right] : rights_) {
    right.past.charged_nano = charged(right);
    right.past.card_ns = right.card_ns;
    right.past.bound_ns = right.bound_ns;
  }
  price_ = price;
}

void PlaceholderBook::set_open(bool open, base::Time now) {
  count(now);
  open_ = open;
  for (auto& [id, right] : rights_)
    if (!right.removed) grant(right, right.wish.awake, now);
}

std::uint64_t PlaceholderBook::charged(const Right& right) const {
  return right.past.charged_nano + nano(right.card_ns - right.past.card_ns, price_.card_nano_s) +
         nano(right.bound_ns - right.past.bound_ns, price_.placeholder_nano_s);
}

std::optional<PlaceholderStatus> PlaceholderBook::remove(std::string_view id, base::Time now) {
  const auto found = rights_.find(id);
  if (found == rights_.end()) return std::nullopt;
  count(now);
  Right& right = found->second;
  right.wish.awake = 0;
  right.removed = true;
  grant(right, 0, now);
  const PlaceholderStatus last = status_of(right);
  on_timer(now);
  return last;
}

void PlaceholderBook::on_engine(std::size_t engine, bool holds_cards, bool serving, bool usable,
                                base::Time now) {
  count(now);
  Engine& e = engines_[engine];
  e.holds = holds_cards;
  e.serving = serving;
  e.usable = usable;
  if (!usable) e.wanted = false;
  if (!e.wanted && !e.holds) e.holder.clear();
}

void PlaceholderBook::on_timer(base::Time now) {
  count(now);
  for (auto it = rights_.begin(); it != rights_.end();) {
    Right& right = it->second;
    if (right.renewed + right.wish.ttl <= now && right.wish.awake > 0) {
      right.wish.awake = 0;
      grant(right, 0, now);
    } else if (!right.removed) {
      // What others gave back, or a failed card's engine that stands again.
      grant(right, right.wish.awake, now);
    }
    const bool used =
        std::any_of(engines_.begin(), engines_.end(), [&](const Engine& e) { return e.holder == it->first; });
    if (right.removed && !used) {
      if (ended_.size() < kMost) ended_.push_back(status_of(right));
      it = rights_.erase(it);
    } else {
      ++it;
    }
  }
}

std::optional<PlaceholderBook::Action> PlaceholderBook::poll_action() {
  if (actions_.empty()) return std::nullopt;
  const Action action = actions_.front();
  actions_.erase(actions_.begin());
  return action;
}

std::optional<PlaceholderStatus> PlaceholderBook::poll_ended() {
  if (ended_.empty()) return std::nullopt;
  PlaceholderStatus ended = std::move(ended_.front());
  ended_.erase(ended_.begin());
  return ended;
}

PlaceholderStatus PlaceholderBook::status_of(const Right& right) const {
  PlaceholderStatus status;
  status.wish = right.wish;
  for (const Engine& e : engines_) {
    if (e.holder != right.wish.id) continue;
    status.granted += e.wanted ? 1 : 0;
    status.held += e.holds ? 1 : 0;
    status.serving += e.serving ? 1 : 0;
  }
  status.card_ms = right.card_ns / 1'000'000;
  status.bound_ms = right.bound_ns / 1'000'000;
  status.charged_nano = charged(right);
  status.count = {right.past.epoch, right.card_ns, right.bound_ns, status.charged_nano};
  return status;
}

std::optional<PlaceholderStatus> PlaceholderBook::status(std::string_view id, base::Time now) const {
  PlaceholderBook then = *this;
  then.count(now);
  const auto found = then.rights_.find(id);
  if (found == then.rights_.end()) return std::nullopt;
  return then.status_of(found->second);
}

std::vector<PlaceholderStatus> PlaceholderBook::all(base::Time now) const {
  PlaceholderBook then = *this;
  then.count(now);
  std::vector<PlaceholderStatus> list;
  for (const auto& [id, right] : then.rights_) list.push_back(then.status_of(right));
  return list;
}

std::uint32_t PlaceholderBook::free(std::string_view model) const {
  return static_cast<std::uint32_t>(std::count_if(engines_.begin(), engines_.end(), [&](const Engine& e) {
    return e.model == model && e.holder.empty() && e.usable;
  }));
}

}  // namespace qanat::pool
