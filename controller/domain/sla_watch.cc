#include "controller/domain/sla_watch.hh"

#include <utility>

namespace qanat::domain {
namespace {

using Term = SlaWatch::Term;
using Is = session::SlaView::State;

struct TermOf {
  Term term;
  std::uint32_t policy::Sla::*limit;
  std::uint32_t WayFigures::*figure;
};
constexpr TermOf kTerms[] = {{Term::Latency, &policy::Sla::most_rtt_us, &WayFigures::rtt_us},
                             {Term::Loss, &policy::Sla::most_loss_ppm, &WayFigures::loss_ppm},
                             {Term::Jitter, &policy::Sla::most_jitter_us, &WayFigures::jitter_us}};

}  // namespace

std::string_view to_string(Term term) {
  switch (term) {
    case Term::Path: return "path";
    case Term::Latency: return "latency";
    case Term::Loss: return "loss";
    case Term::Jitter: return "jitter";
  }
  return "";
}

void SlaWatch::begin(const std::vector<policy::Sla>& promised) {
  std::map<Key, State> next;
  const auto keep = [&](Key key, std::uint32_t limit) {
    State& state = next[key];
    if (const auto held = terms_.find(key); held != terms_.end() && held->second.limit == limit)
      state = held->second;
    state.limit = limit;
    state.look = {};
  };
  for (const policy::Sla& sla : promised) {
    keep({sla.tenant, sla.tier, Term::Path}, 0);
    for (const TermOf& t : kTerms)
      if (sla.*t.limit != 0) keep({sla.tenant, sla.tier, t.term}, sla.*t.limit);
  }
  terms_ = std::move(next);
}

void SlaWatch::judge(const policy::Sla& sla, const Pair& pair, const std::optional<WayFigures>& way) {
  const auto look_of = [&](Term term) -> State::Look* {
    const auto at = terms_.find({sla.tenant, sla.tier, term});
    return at == terms_.end() ? nullptr : &at->second.look;
  };
  if (State::Look* look = look_of(Term::Path)) {
    ++look->pairs;
    if (!way) {
      ++look->broken;
      if (!look->at) look->at = pair;
    }
  }
  if (!way) return;
  for (const TermOf& t : kTerms) {
    if (sla.*t.limit == 0) continue;
    State::Look* look = look_of(t.term);
    if (look == nullptr) continue;
    const std::uint32_t figure = (*way).*t.figure;
    ++look->pairs;
    look->broken += figure > sla.*t.limit;
    if (look->worst && figure <= *look->worst) continue;
    look->worst = figure;
    look->at = pair;
  }
}

std::vector<SlaWatch::News> SlaWatch::end(session::Now now) {
  std::vector<News> news;
  for (auto& [key, state] : terms_) {
    state.last = state.look;
    const Is seen = state.look.broken != 0 ? Is::Broken : Is::Kept;
    if (seen == state.is) {
      state.turn.reset();
      continue;
    }
    if (!state.turn || state.turn->to != seen) state.turn = {now.mono, now.unix_s, seen};
    if (now.mono - state.turn->mono < (seen == Is::Broken ? kBrokenFor : kKeptFor)) continue;
    const bool told = seen == Is::Broken || state.is == Is::Broken;
    const base::UnixSeconds before = std::exchange(state.since, state.turn->unix_s);
    state.is = seen;
    state.turn.reset();
    if (told) news.push_back({key, state, before});
  }
  return news;
}

}  // namespace qanat::domain
