// docs/specifications/path_states.md against the code: every cell of every table is tried.
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <map>
#include <sstream>

#include "dataplane/path/eliminator.hh"
#include "dataplane/path/fec_control.hh"
#include "dataplane/path/fec_decoder.hh"
#include "dataplane/path/fec_encoder.hh"
#include "dataplane/path/liveness.hh"
#include "dataplane/path/resequencer.hh"

namespace qanat::path {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Cells = std::map<std::pair<std::string, std::string>, std::string>;  // (state, event) → what follows

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> out;
  std::stringstream in(line.substr(1));
  for (std::string cell; std::getline(in, cell, '|');) {
    const auto first = cell.find_first_not_of(' '), last = cell.find_last_not_of(' ');
    out.push_back(first == std::string::npos ? "" : cell.substr(first, last - first + 1));
  }
  return out;
}

// The table under "## NAME".
Cells table(const std::string& name) {
  std::ifstream in("docs/specifications/path_states.md");
  Cells cells;
  std::vector<std::string> events;
  bool here = false;
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("## ", 0) == 0) here = line == "## " + name;
    if (!here || line.empty() || line[0] != '|' || line[1] == '-') continue;
    const auto row = split(line);
    if (events.empty()) {
      events = row;
      continue;
    }
    for (std::size_t i = 1; i < row.size(); ++i) cells[{row[0], events.at(i)}] = row[i];
  }
  EXPECT_FALSE(cells.empty()) << name;
  return cells;
}

// Tries every cell but those that cannot happen; `outcome` gives what follows, empty for "nothing changes".
void compare(const std::string& name,
             const std::function<std::string(const std::string& state, const std::string& event)>& outcome) {
  for (const auto& [at, expected] : table(name)) {
    if (expected == "·") continue;
    const std::string got = outcome(at.first, at.second);
    EXPECT_EQ(got.empty() ? "–" : got, expected) << name << ": " << at.first << ", " << at.second;
  }
}

class Path {
 public:
  Liveness path;
  explicit Path(const std::string& state) {
    if (state == "Untested") return;
    hear();
    if (state == "Alive") return;
    lose(8, true);
    if (state == "Dead") return;
    hear();
  }
  void hear() {
    send();
    path.on_report({sequence, now, milliseconds{1}, ++received}, {}, now);
    heard = now;
    confirmed = sequence;
  }
  void lose(int probes, bool overtaken) {
    if (confirmed == 0) {  // the first report speaks of the first probe
      send();
      heard = now;
      confirmed = sequence;
      ++received;
    }
    for (int i = 0; i < probes; ++i) send();
    path.on_report({confirmed, heard, now - heard, received, overtaken ? now : base::Time::min()}, {}, now);
  }
  void act(const std::string& event) {
    if (event == "a probe is heard") hear();
    if (event == "overtaken") lose(8, true);
    if (event == "long silent") lose(20, false);
    if (event == "gray")
      for (int i = 0; i < 200 && !path.gray(); ++i) i * 3 % 10 < 3 ? send() : hear();
    if (event == "hold-down over") path.on_timer(now += kLongestHold);
    if (event == "no report for a second") {
      for (int i = 0; i < 40; ++i) send(milliseconds{30});
      path.on_timer(now);
    }
  }

 private:
  void send(base::Duration apart = milliseconds{5}) {
    now += apart;
    path.on_sent(++sequence, now);
  }
  base::Time now{seconds{100}}, heard;
  std::uint32_t sequence = 0, received = 0, confirmed = 0;
};

TEST(States, Liveness) {
  const std::map<State, std::string> names{{State::Untested, "Untested"},
                                           {State::Alive, "Alive"},
                                           {State::Dead, "Dead"},
                                           {State::Returning, "Returning"}};
  compare("Liveness", [&](const std::string& state, const std::string& event) {
    Path p(state);
    EXPECT_EQ(names.at(p.path.state()), state);
    p.act(event);
    const std::string after = names.at(p.path.state());
    return after == state ? "" : after;
  });
}

TEST(States, LossStep) {
  compare("LossStep", [](const std::string& state, const std::string& event) {
    LossStep step;
    if (state == "raised") step.on_outcomes(10, 10, 0);
    EXPECT_EQ(step.raised(), state == "raised");
    const auto lose = [&](int of, int lost, int probes) {
      for (int i = 0; i < probes; ++i) step.on_outcomes(1, i * lost % of < lost, 0);
    };
    if (event == "eight of eight lost") lose(8, 8, 8);
    if (event == "three of ten lost, for 100") lose(10, 3, 100);
    if (event == "one of a hundred lost, for 1000") lose(100, 1, 1000);
    if (event == "none lost, for 200") lose(1, 0, 200);
    if (step.raised() == (state == "raised")) return std::string{};
    return std::string{step.raised() ? "raised" : "calm"};
  });
}

TEST(States, Eliminator) {
  compare("Eliminator", [](const std::string& state, const std::string& event) {
    Eliminator e;
    const StreamId stream{ids::NodeId{1}, ids::Tier::Critical, 0};
    const base::Time keys{seconds{50}};
    base::Time now{seconds{100}};
    constexpr std::uint64_t kNewest = 1'000'000;
    if (state != "unknown") e.first(stream, kNewest, keys, now);
    if (state == "idle for 10 s") e.on_timer(now += seconds{10});
    std::uint64_t number = kNewest;
    base::Time under = keys;
    if (event == "next number") number = kNewest + 1;
    if (event == "earlier, not seen") number = kNewest - 5;
    if (event.rfind("behind", 0) == 0) number = kNewest - 100'000;
    if (event == "behind it, newer keys") under = keys + seconds{1};
    if (event == "far ahead, older keys") number = kNewest + 100'000, under = keys - seconds{1};
    return std::string{e.first(stream, number, under, now) ? "First" : "Duplicate"};
  });
}

TEST(States, Resequencer) {
  compare("Resequencer", [](const std::string& state, const std::string& event) {
    Resequencer r;
    base::Time now{seconds{100}};
    std::vector<std::uint8_t> bytes(10);
    base::Time keys{seconds{50}};
    const auto give = [&](std::uint64_t number, std::uint8_t hold = 10) {
      Opened p;
      p.stream = {ids::NodeId{1}, ids::Tier::Bulk, 0};
      p.header.sequence = number;
      p.header.hold = hold;
      p.session = keys;
      p.bytes = bytes;
      const auto out = r.on_packet(p, now);
      if (!out) return std::string{"Duplicate"};
      return out->empty() ? std::string{"held"} : "out " + std::to_string(out->size());
    };
    if (state != "unknown") give(500'000);
    if (state == "behind a gap") give(500'002);
    r.clear();
    if (event == "the one expected") return give(500'001);
    if (event == "beyond a gap") return give(500'005);
    if (event == "beyond a gap, hold 0") return give(500'005, 0);
    if (event == "behind") return give(499'990);
    if (event == "held already") return give(500'002);
    if (event == "two windows ahead") return give(500'002 + 2 * 8192);
    if (event == "elsewhere, newer keys") return keys += seconds{1}, give(7);
    return "out " + std::to_string(r.on_timer(now + seconds{1}).size());
  });
}

TEST(States, FecControl) {
  compare("FecControl", [](const std::string& state, const std::string& event) {
    FecControl control(milliseconds{40});
    base::Time now{seconds{100}};
    LossPattern pattern{0, 1, milliseconds{60}};
    const auto measure = [&](double loss, base::Duration later) {
      pattern.loss = loss;
      control.on_measured(pattern, now += later);
    };
    if (state == "On") measure(0.02, {});
    EXPECT_EQ(control.plan().on(), state == "On");
    if (event == "1 % lost") measure(0.01, milliseconds{100});
    if (event == "0.1 % lost") measure(0.001, seconds{3});
    if (event == "nothing lost for 2 s") measure(0, seconds{1}), measure(0, seconds{1});
    if (event == "asking again is in time") pattern.rtt = milliseconds{30}, measure(0.02, milliseconds{100});
    if (control.plan().on() == (state == "On")) return std::string{};
    return std::string{control.plan().on() ? "On" : "Off"};
  });
}

TEST(States, FecEncoder) {
  compare("FecEncoder", [](const std::string& state, const std::string& event) {
    FecEncoder e;
    e.set_plan({128, 4});
    const base::Time now{seconds{100}};
    std::uint64_t number = 0;
    const auto give = [&](std::size_t size = 20) {
      e.on_packet(number++, std::vector<std::uint8_t>(size), now);
    };
    const auto repaired = [&] { return !e.poll_repair().empty(); };
    const unsigned fresh = state == "one uncovered" ? 1 : state == "three uncovered" ? 3 : 0;
    if (state != "none")
      for (unsigned i = 0; i < FecEncoder::kOpening + fresh; ++i) give();
    while (repaired()) {
    }
    if (event == "next packet") give();
    if (event == "packet after a leap") number += 10, give();
    if (event == "packet too large") give(PacketSlab::kSlotBytes);
    if (event == "its time is over") e.on_timer(now + FecEncoder::kSpacing);
    if (repaired()) return std::string{"a repair"};
    if (e.next_timeout() != base::Time::max()) return std::string{"waits"};
    return std::string{fresh != 0 ? "given up" : ""};
  });
}

TEST(States, FecDecoder) {
  compare("FecDecoder", [](const std::string& state, const std::string& event) {
    const StreamId stream{ids::NodeId{1}, ids::Tier::Bulk, 0};
    base::Time now{seconds{100}};
    const auto encode = [&](std::uint64_t first) {
      FecEncoder e;
      e.set_plan({2, 2});
      std::vector<std::uint8_t> last;
      for (std::uint64_t n = first; n < first + 2; ++n) {
        packet::InnerHeader header;
        header.sequence = n;
        std::vector<std::uint8_t> plain(packet::InnerHeader::kBytes + 20, 1);
        header.serialize(plain);
        e.on_packet(n, plain, now);
        const auto r = e.poll_repair();
        last.assign(r.begin(), r.end());
      }
      return last;
    };
    FecDecoder d;
    const auto repair = [&](std::uint64_t first) {
      return d.on_repair(stream, encode(first), now).value().size();
    };
    const auto source = [&](std::uint64_t number) {
      packet::InnerHeader header;
      header.sequence = number;
      return d.on_packet(stream, header, std::vector<std::uint8_t>(20, 1), now).size();
    };
    if (state != "unknown") repair(100);  // another block: the stream is known
    if (state == "one source known") source(0);
    if (state == "repair known") repair(0);
    d.clear();
    const std::size_t kept = d.kept();
    std::size_t rebuilt = 0;
    if (event == "a repair") rebuilt = repair(0);
    if (event == "the same again") rebuilt = state == "repair known" ? repair(0) : source(0);
    if (event == "a packet of the block") rebuilt = source(state == "repair known" ? 1 : 0);
    if (event == "a malformed repair") {
      const auto result = d.on_repair(stream, std::vector<std::uint8_t>(5), now);
      return result ? std::string{} : std::string{"RepairMalformed"};
    }
    if (event == "idle for 2 s") {
      d.on_timer(now + seconds{2});
      return std::string{kept != 0 && d.idle() ? "forgotten" : ""};
    }
    if (rebuilt != 0) return std::string{"rebuilds"};
    return std::string{d.kept() > kept ? "kept" : ""};
  });
}

}  // namespace
}  // namespace qanat::path
