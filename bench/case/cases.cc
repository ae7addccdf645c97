#include "bench/case/cases.hh"

#include <algorithm>
#include <cmath>
#include <random>
#include <stdexcept>

#include "gateway/pool/data/catalogue.hh"
#include "gateway/pool/plan/requirement.hh"

namespace qanat::bench {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* k32b = "deepseek-r1-distill-qwen-32b";

double in_s(base::Duration d) { return std::chrono::duration<double>(d).count(); }
base::Duration of_s(double s) { return base::Duration(static_cast<std::int64_t>(s * 1e9)); }

// Streams that one engine of the pool carries within the wish, as the requirement map finds it.
double streams_of(const FleetPool& p, const place::Wish& wish, std::uint32_t in, std::uint32_t out) {
  pool::Requirement r;
  r.model = p.model.name;
  r.input = in;
  r.output = out;
  r.ttft = wish.ttft - p.rtt;
  r.tpot = wish.tpot;
  return pool::capacity(p.card, p.cards, p.model, p.limits.profile, r, 512);
}

// A uniform number that is the same with every standard library.
double uniform(std::mt19937_64& random) { return (double(random() >> 11) + 0.5) / 9007199254740992.0; }
double exponential(std::mt19937_64& random, double rate) { return -std::log(uniform(random)) / rate; }

}  // namespace

FleetPool pool_of(const std::string& name, const std::string& card, std::uint32_t cards,
                  std::uint32_t engines, const std::string& model) {
  const pool::Catalogue& all = pool::built_in();
  const pool::Card* const c = all.card(card);
  const pool::Model* const m = all.model(model);
  if (!c || !m) throw std::runtime_error("the catalogue has no " + (c ? model : card));
  FleetPool p;
  p.name = name;
  p.card = *c;
  p.cards = cards;
  p.engines = engines;
  p.model = *m;
  if (const pool::Profile* const profile = all.profile(c->profile)) p.limits.profile = *profile;
  return p;
}

FleetPool placeholders_of(FleetPool p, double card_hour, double rtt_ms) {
  p.placeholder = true;
  p.rtt = of_s(rtt_ms * 1e-3);
  p.nano_per_s = static_cast<std::int64_t>(card_hour * p.cards / 3600 * 1e9);
  p.life.times = pool::life_times(p.card, p.cards, p.model, pool::SitePlan{}, {});
  return p;
}

// --- report generation ---
// Local: 4 × H20; a report is 1,024 tokens in and 2,980 out: 42 s alone, from the card data. Remote: what
// plan/data/sites.toml has at far1 (16 × H20, 18 ms) and far2 (8 × H200, 42 ms), awake, as a task at a known hour has
// them. The caller prefers time.
namespace {

struct Reports {
  double mean_s = 0, remote = 0;
};

Reports reports(std::uint32_t calls, bool overflow) {
  constexpr std::uint32_t kIn = 1024, kOut = 2980;
  std::vector<FleetPool> pools{pool_of("local", "H20", 4, 1, k32b)};
  pools[0].local = true;
  if (overflow) {
    pools.push_back(pool_of("far1-h20", "H20", 4, 4, k32b));
    pools.back().rtt = milliseconds(18);
    pools.push_back(pool_of("far2-h200", "H200", 4, 2, k32b));
    pools.back().rtt = milliseconds(42);
  }
  place::Wish wish;
  wish.ttft = seconds(2);
  wish.tpot = milliseconds(15);
  wish.give_up = std::chrono::hours(1);
  wish.prefer = place::Prefer::Time;
  Fleet fleet(pools, wish);
  Reports result;
  fleet.on_end([&](const FleetEnd& end) {
    result.mean_s += in_s(end.total) / calls;
    result.remote += end.pool == 0 ? 0 : 1.0 / calls;
  });
  // A millisecond apart: the gateway takes one call after the other.
  for (std::uint32_t i = 0; i < calls; ++i) fleet.add({base::Time{} + milliseconds(1 + i), kIn, kOut});
  fleet.run_dry();
  return result;
}

}  // namespace

ReportCase report_generation() {
  ReportCase c;
  c.low_s = reports(1, false).mean_s;
  c.local60_s = reports(60, false).mean_s;
  c.local100_s = reports(100, false).mean_s;
  const Reports sixty = reports(60, true), hundred = reports(100, true);
  c.overflow60_s = sixty.mean_s;
  c.overflow100_s = hundred.mean_s;
  c.remote60 = sixty.remote;
  c.remote100 = hundred.remote;
  return c;
}

// --- medical question answering ---
// Local: one engine of 2 × L20 at 5.0 a card and hour; remote: MLU370 at 3.0, 36 ms away, engines of 4 (both as in
// plan/data/sites.toml). A question is 512 tokens in and 512 out; SLA 2 s and 100 ms. Load 1.2 is that of queueing: calls
// come at 1.2 times the rate at which the local pool can complete them at all, for half an hour, its second half counted;
// at 1.2 times the rate that it carries within the SLA stands beside it. The day's demand is a tide of ten to one around
// 14:00 whose mean is 1.2 of what the local pool carries within the SLA; its peak is then three times as much.
namespace {

constexpr std::uint32_t kQuestion = 512, kAnswer = 512;

place::Wish medical_wish() {
  place::Wish wish;
  wish.ttft = seconds(2);
  wish.tpot = milliseconds(100);
  wish.give_up = std::chrono::hours(1);
  return wish;
}
FleetPool medical_local() {
  FleetPool p = pool_of("local-l20", "L20", 2, 1, k32b);
  p.local = true;
  return p;
}
FleetPool medical_remote() { return placeholders_of(pool_of("far3-mlu370", "MLU370", 4, 2, k32b), 3.0, 36); }

struct Run {
  double mean_s = 0, held = 0;
  std::uint64_t calls = 0;
};

// Poisson calls at `rate` for `lasts`, of which the second half counts; remote pools up if they are there.
Run steady(std::vector<FleetPool> pools, double rate, base::Duration lasts, std::uint64_t seed) {
  const place::Wish wish = medical_wish();
  for (FleetPool& p : pools) p.placeholder = false;
  Fleet fleet(pools, wish);
  Run run;
  double held = 0;
  const base::Time half = base::Time{} + lasts / 2;
  fleet.on_end([&](const FleetEnd& end) {
    if (end.call.at < half) return;
    ++run.calls;
    run.mean_s += in_s(end.total);
    held += !end.failed && end.ttft <= wish.ttft && end.tpot_s() <= in_s(wish.tpot) ? 1 : 0;
  });
  std::mt19937_64 random(seed);
  for (double t = exponential(random, rate); t < in_s(lasts); t += exponential(random, rate))
    fleet.add({base::Time{} + of_s(t), kQuestion, kAnswer});
  fleet.run_dry();
  run.mean_s /= double(std::max<std::uint64_t>(run.calls, 1));
  run.held = held / double(std::max<std::uint64_t>(run.calls, 1));
  return run;
}

// The largest rate, to a fiftieth, of which 95 % hold the SLA.
double most_within_sla(const std::vector<FleetPool>& pools, double from, std::uint64_t seed) {
  double good = 0, rate = from;
  for (; rate < from * 64; rate *= 1.3) {
    if (steady(pools, rate, std::chrono::minutes(20), seed).held < 0.95) break;
    good = rate;
  }
  for (double bad = rate; bad - good > good / 50;) {
    const double middle = (good + bad) / 2;
    (steady(pools, middle, std::chrono::minutes(20), seed).held >= 0.95 ? good : bad) = middle;
  }
  return good;
}

// A tenth of the peak at night, a bell of 3.2 hours around 14:00.
double tide(double hour) {
  const double apart = std::abs(std::remainder(hour - 14, 24.0));
  return 0.1 + 0.9 * std::exp(-apart * apart / (2 * 3.2 * 3.2));
}

}  // namespace

MedicalCase medical_answers(std::uint64_t seed) {
  MedicalCase c;
  const FleetPool local = medical_local();
  FleetPool remote = medical_remote(), one = remote;
  one.engines = 1;
  const std::vector<FleetPool> alone{local};
  c.local_rate = most_within_sla(alone, 0.05, seed);
  // Streams by Little's law, at the most that was measured to hold the SLA.
  const double remote_rate = most_within_sla({one}, 0.05, seed);
  remote.streams = remote_rate * steady({one}, remote_rate, std::chrono::minutes(20), seed).mean_s;
  const std::vector<FleetPool> both{local, remote};
  pool::Requirement shape;
  shape.input = kQuestion;
  shape.output = kAnswer;
  c.full_rate =
      pool::predict(local.card, local.cards, local.model, local.limits.profile, shape, 256).tokens_per_s /
      kAnswer;
  const auto busy = std::chrono::minutes(30);
  c.alone_s = steady(alone, 1.2 * c.full_rate, busy, seed).mean_s;
  c.overflow_s = steady(both, 1.2 * c.full_rate, busy, seed).mean_s;
  c.sla_alone_s = steady(alone, 1.2 * c.local_rate, busy, seed).mean_s;
  c.sla_overflow_s = steady(both, 1.2 * c.local_rate, busy, seed).mean_s;
  c.most_rate = most_within_sla(both, c.local_rate, seed);

  // A second day, which the history of a first one knows.
  place::ValveSettings s;
  s.local_streams = c.local_rate * steady(alone, c.local_rate, std::chrono::minutes(20), seed).mean_s;
  const double peak = 3 * c.local_rate;
  Fleet fleet(both, medical_wish(), s);
  std::mt19937_64 random(seed);
  double missed = 0;
  const base::Time second = base::Time{} + std::chrono::hours(24);
  const place::Wish wish = medical_wish();
  fleet.on_end([&](const FleetEnd& end) {
    if (end.call.at < second) return;
    ++c.day_calls;
    missed += end.failed || end.ttft > wish.ttft || end.tpot_s() > in_s(wish.tpot) ? 1 : 0;
  });
  double mean = 0;
  for (int m = 0; m < 24 * 60; ++m) mean += 3 * tide(m / 60.0) / (24 * 60);
  c.mean_load = mean;
  double first_charged = 0;
  for (int day = 0; day < 2; ++day) {
    const double begins = day * 86400.0;
    for (double t = begins + exponential(random, peak); t < begins + 86400; t += exponential(random, peak))
      if (uniform(random) < tide((t - begins) / 3600))
        fleet.add({base::Time{} + of_s(t), kQuestion, kAnswer});
    fleet.run_until(base::Time{} + std::chrono::hours(24) * (day + 1));
    if (day == 0) first_charged = double(fleet.charged(1)) * 1e-9;
  }
  fleet.run_dry();
  c.day_misses_pct = 100 * missed / double(std::max<std::uint64_t>(c.day_calls, 1));
  constexpr double kCardDay = 5.0 * 24;
  // Own cards for the peak, planned to the same share of what holds the SLA as the valve opens at.
  c.own_cost = std::ceil(peak / (s.open_at * c.local_rate) - 1e-9) * local.cards * kCardDay;
  c.valve_cost = local.cards * kCardDay + double(fleet.charged(1)) * 1e-9 - first_charged;
  return c;
}

// --- bursts ---
// Local: one engine of 4 × L40, four tenths of it used; remote: placeholders for 4 engines of 4 × H20, 18 ms away. Calls of 512 tokens
// in and 256 out; SLA 2 s and 100 ms. The burst comes at 3/8 of each day.
BurstCase bursts(const BurstPlan& plan) {
  constexpr std::uint32_t kIn = 512, kOut = 256;
  place::Wish wish;
  wish.ttft = seconds(2);
  wish.tpot = milliseconds(100);
  FleetPool local = pool_of("local-l40", "L40", 4, 1, k32b);
  local.local = true;
  FleetPool remote = placeholders_of(pool_of("far1-h20", "H20", 4, 4, k32b), 9.0, 18);
  remote.streams = streams_of(remote, wish, kIn, kOut);
  place::ValveSettings s;
  s.local_streams = streams_of(local, wish, kIn, kOut);
  s.forecast = plan.forecast;
  s.period = plan.day;
  place::HistoryShape history;
  history.period = plan.day;
  Fleet fleet({local, remote}, wish, s, history);

  // What these streams make of calls a second: each lasts as the requirement map predicts.
  pool::Requirement shape;
  shape.model = k32b;
  shape.input = kIn;
  shape.output = kOut;
  const auto used = static_cast<std::uint32_t>(std::max(1.0, 0.4 * s.local_streams));
  const auto one = pool::predict(local.card, local.cards, local.model, local.limits.profile, shape, used);
  const double quiet = used / (one.ttft_s + one.tpot_s * (kOut - 1));

  BurstCase c;
  c.cool_down_s = in_s(s.cool_down);
  std::uint64_t counted = 0, missed = 0, in_burst = 0, missed_in_burst = 0;
  const base::Time learned = base::Time{} + plan.day;
  fleet.on_end([&](const FleetEnd& end) {
    ++c.calls;
    c.failed += end.failed ? 1 : 0;
    if (end.call.at < learned) return;
    ++counted;
    const bool miss = end.failed || end.ttft > wish.ttft || end.tpot_s() > in_s(wish.tpot);
    missed += miss ? 1 : 0;
    const double into = in_s((end.call.at - base::Time{}) % plan.day) - in_s(plan.day) * 3 / 8;
    if (into < 0 || into > in_s(plan.burst)) return;
    ++in_burst;
    missed_in_burst += miss ? 1 : 0;
  });
  std::mt19937_64 random(plan.seed);
  for (int day = 0; day < plan.days; ++day) {
    const base::Time begins = base::Time{} + plan.day * day;
    const double burst = in_s(plan.day) * 3 / 8, ends = burst + in_s(plan.burst);
    // Five times as much, reached within ten seconds, and as fast gone again.
    const auto rate = [&](double t) {
      const double rise = std::clamp((t - burst) / 10, 0.0, 1.0),
                   fall = std::clamp((ends - t) / 10, 0.0, 1.0);
      return quiet * (1 + 4 * std::min(rise, fall));
    };
    for (double t = exponential(random, 5 * quiet); t < in_s(plan.day); t += exponential(random, 5 * quiet))
      if (uniform(random) < rate(t) / (5 * quiet)) fleet.add({begins + of_s(t), kIn, kOut});
    fleet.run_until(begins + of_s(ends));
    if (day > 0 || !plan.forecast) {
      const base::Time end = fleet.now();
      while (fleet.held(1) > 0 && fleet.now() < begins + plan.day) fleet.run_until(fleet.now() + seconds(1));
      c.released_s = std::max(c.released_s, in_s(fleet.now() - end));
    }
    fleet.run_until(begins + plan.day);
  }
  fleet.run_dry();
  fleet.run_until(fleet.now() + 2 * s.cool_down);
  c.misses_pct = 100.0 * double(missed) / double(std::max<std::uint64_t>(counted, 1));
  c.burst_misses_pct = 100.0 * double(missed_in_burst) / double(std::max<std::uint64_t>(in_burst, 1));
  c.card_s = fleet.held_s(1) * remote.cards;
  meter::Nano told = 0;
  for (const auto& b : fleet.valve()->placeholders()) told += b.told.charged;
  c.billed_card_s = double(told) / double(remote.nano_per_s) * remote.cards;
  c.error = fleet.valve()->history().error();
  c.persistence_error = fleet.valve()->history().persistence_error();
  return c;
}

}  // namespace qanat::bench
