// Thirteen links in a row, each a pair of real TUN devices with an impairment of its own, in both directions:
//
//   n0 ──link 0── n1 ──link 1── n2 … n12 ──link 12── n13        10.90.i.1 – 10.90.i.2, forwarded by the kernel
//      ──plain 0──   ──plain 1──  …      ──plain 12──           10.91.i.1 – 10.91.i.2
//
// What they predict together is the sum of their mean delays and the product of their chances to pass. The mean RTT
// and the loss of UDP echoes from n0 to n13 and back have to lie within the 99 % intervals of that. The plain links
// beside them have constant delays only: what they take longer than that is what this machine adds to 26 hops at
// that moment, and is taken off.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <thread>

#include "base/clock.hh"
#include "tests/e2e/linkem/linkem_process.hh"
#include "tools/linkem/links_file.hh"
#include "tools/linkem/netns.hh"

namespace qanat::linkem {
namespace {

using namespace std::chrono_literals;

constexpr int kLinks = 13;
constexpr int kEchoes = 1200;
constexpr auto kSpacing = 4ms;
constexpr std::size_t kBytes = 200;  // of an IP packet

// Each direction of link i: its SPEC, and what it means for one packet, in ms.
struct Expectation {
  const char* spec;
  double mean_ms, variance;
  double loss, loss_variance;  // of the count, per packet
};

std::vector<Expectation> expectations() {
  const double ge = 0.01 / 0.31, memory = 1 - 0.31;
  return {
      {"delay=5ms", 5, 0, 0, 0},
      {"20mbit", kBytes * 8 / 20e3, 0, 0, 0},
      {"loss=2%", 0, 0, 0.02, 0.02 * 0.98},
      {"delay=12ms~normal(3ms),unordered", 12, 9, 0, 0},
      {"delay=2ms~uniform(2ms),unordered", 2, 4.0 / 3, 0, 0},
      {"loss=ge(0.01,0.3)", 0, 0, ge, ge * (1 - ge) * (1 + memory) / (1 - memory)},
      {"delay=1ms~pareto(2ms,5),unordered", 1.5, 4 * 5 / (16.0 * 3), 0, 0},
      {"corrupt=1%", 0, 0, 0.01, 0.01 * 0.99},  // UDP's checksum finds every single flipped bit
      {"delay=4ms,reorder=10%", 3.6, 16 * 0.09, 0, 0},
      {"loss=every(50)", 0, 0, 0.02, 0.02 * 0.98},
      {"trace(TRACE)", 0.5, 1.0 / 12, 0, 0},  // an opportunity a millisecond: half of one to wait
      {"flap=(95ms,5ms)", 0, 0, 0.05, 0.05 * 0.95},
      {"50mbit,queue=codel,duplicate=5%,mtu=1200", kBytes * 8 / 50e3, 0, 0, 0},
  };
}

class Chain14 {
 public:
  explicit Chain14(std::uint64_t seed) {
    const std::string trace = folder_.write("trace", "1\n");
    LinksFile file{seed, {}};
    for (int i = 0; i <= kLinks; ++i) {
      create_netns(name(i));
      const NetnsScope inside(name(i));
      write_sysctl("net/ipv4/ip_forward", "1");
      write_sysctl("net/ipv4/conf/all/rp_filter", "0");
      write_sysctl("net/ipv4/conf/default/rp_filter", "0");
    }
    const auto all = expectations();
    for (int i = 0; i < kLinks; ++i) {
      std::string text = all[static_cast<std::size_t>(i)].spec;
      if (const auto at = text.find("TRACE"); at != text.npos) text.replace(at, 5, trace);
      const Spec spec = parse_spec(text).value();
      file.links.push_back(link(i, "link", 90, spec));
      // Duplicates go to the ends only: before other links they would be a second chance.
      if (i == kLinks - 1) file.links.back().down.duplicate = 0;
      file.links.push_back(link(i, "plain", 91, parse_spec(plain(i)).value()));
    }
    errors_ = folder_.path + "/errors";
    linkem_ = std::make_unique<Linkem>(
        std::vector<std::string>{"serve", "--links", folder_.write("links.toml", to_toml(file)), "--socket",
                                 folder_.path + "/socket"},
        errors_);
    for (int i = 0; i < 200 && access((folder_.path + "/socket").c_str(), F_OK) != 0; ++i)
      std::this_thread::sleep_for(50ms);
  }
  ~Chain14() {
    linkem_.reset();
    for (int i = 0; i <= kLinks; ++i) remove_netns(name(i));
  }
  std::string errors() const { return read_text(errors_); }
  static std::string name(int i) { return fmt::format("lk{}-{}", getpid(), i); }
  // A constant delay wherever the link beside has one of any kind, so that both wake linkem as often.
  static std::string plain(int i) {
    return expectations()[static_cast<std::size_t>(i)].mean_ms > 0 ? "delay=3ms" : "";
  }

 private:
  static LinkConfig link(int i, const char* kind, int net, const Spec& spec) {
    LinkConfig out;
    out.name = fmt::format("{}{}", kind, i);
    out.up = out.down = spec;
    const auto address = [net](int at, int host) { return fmt::format("10.{}.{}.{}", net, at, host); };
    out.a = {name(i),
             fmt::format("{}{}", kind, i),
             {address(i, 1) + "/32"},
             {{address(kLinks - 1, 2) + "/32", "", 0}}};
    out.b = {name(i + 1),
             fmt::format("{}{}b", kind, i),
             {address(i, 2) + "/32"},
             {{address(0, 1) + "/32", "", 0}}};
    return out;
  }
  Folder folder_;
  std::string errors_;
  std::unique_ptr<Linkem> linkem_;
};

Fd bound(const std::string& netns, const char* address) {
  const NetnsScope inside(netns);
  Fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(7007);
  inet_pton(AF_INET, address, &at.sin_addr);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) throw std::runtime_error("bind");
  return fd;
}

struct Probe {
  std::int64_t sent_ns;
  std::uint32_t sequence;
  std::uint8_t padding[kBytes - 28 - 12];
} __attribute__((packed));

// One chain's echoes: those who ask at n0, those who answer the first copy of each question at n13.
struct Echo {
  Echo(const char* near_address, const char* far_address)
      : near(bound(Chain14::name(0), near_address)), far(bound(Chain14::name(kLinks), far_address)) {
    to.sin_family = AF_INET;
    to.sin_port = htons(7007);
    inet_pton(AF_INET, far_address, &to.sin_addr);
  }
  void ask(std::uint32_t sequence) {
    Probe probe{base::monotonic_now().time_since_epoch().count(), sequence, {}};
    sendto(near.get(), &probe, sizeof probe, 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
  }
  void answer() {
    Probe probe;
    sockaddr_in from{};
    socklen_t length = sizeof from;
    while (recvfrom(far.get(), &probe, sizeof probe, 0, reinterpret_cast<sockaddr*>(&from), &length) ==
           sizeof probe) {
      if (probe.sequence >= kEchoes || answered[probe.sequence]++) continue;
      sendto(far.get(), &probe, sizeof probe, 0, reinterpret_cast<sockaddr*>(&from), length);
    }
  }
  void collect() {
    Probe probe;
    while (recv(near.get(), &probe, sizeof probe, 0) == sizeof probe) {
      if (probe.sequence >= kEchoes || back[probe.sequence]++) continue;
      rtts_ms.push_back(
          static_cast<double>(base::monotonic_now().time_since_epoch().count() - probe.sent_ns) / 1e6);
    }
  }
  double mean() const {
    double sum = 0;
    for (const double x : rtts_ms) sum += x;
    return sum / static_cast<double>(rtts_ms.size());
  }
  // Of the mean, by batches of a tenth of the run: a busy machine delays neighbours alike.
  double variance_of_mean() const {
    constexpr std::size_t kBatches = 10;
    const std::size_t each = rtts_ms.size() / kBatches;
    if (each == 0) return 0;
    double squares = 0;
    for (std::size_t b = 0; b < kBatches; ++b) {
      double sum = 0;
      for (std::size_t i = b * each; i < (b + 1) * each; ++i) sum += rtts_ms[i];
      squares += std::pow(sum / static_cast<double>(each) - mean(), 2);
    }
    return squares / (kBatches - 1) / kBatches;
  }
  Fd near, far;
  sockaddr_in to{};
  std::array<int, kEchoes> answered{}, back{};
  std::vector<double> rtts_ms;
};

void exchange(Echo& impaired, Echo& plain) {
  auto next = base::monotonic_now();
  std::uint32_t sequence = 0;
  const auto end = next + kEchoes * kSpacing + 500ms;
  while (base::monotonic_now() < end) {
    if (sequence < kEchoes && base::monotonic_now() >= next) {
      impaired.ask(sequence);
      plain.ask(sequence++);
      next += kSpacing;
    }
    std::array<pollfd, 4> fds{{{impaired.near.get(), POLLIN, 0},
                               {impaired.far.get(), POLLIN, 0},
                               {plain.near.get(), POLLIN, 0},
                               {plain.far.get(), POLLIN, 0}}};
    poll(fds.data(), fds.size(), 1);
    for (Echo* echo : {&impaired, &plain}) echo->answer(), echo->collect();
  }
}

struct Outcome {
  bool rtt_within = false, loss_within = false;
  std::string text;
};

Outcome run(std::uint64_t seed) {
  const Chain14 chain(seed);
  Echo impaired("10.90.0.1", "10.90.12.2"), plain("10.91.0.1", "10.91.12.2");
  exchange(impaired, plain);
  if (impaired.rtts_ms.empty() || plain.rtts_ms.empty())
    return {false, false, "no echo came back: " + chain.errors()};

  double mean = 0, variance = 0, passes = 1, loss_variance = 0, plain_mean = 0;
  int i = 0;
  for (const auto& e : expectations()) {
    mean += 2 * e.mean_ms, variance += 2 * e.variance;
    passes *= (1 - e.loss) * (1 - e.loss);
    loss_variance += 2 * e.loss_variance;
    plain_mean += Chain14::plain(i++).empty() ? 0 : 6;
  }
  const double machine = plain.mean() - plain_mean;
  const double rtt = impaired.mean() - machine;
  // What the machine adds is itself an estimate, and counts for both chains.
  const double rtt_interval = 2.576 * std::sqrt(variance / static_cast<double>(impaired.rtts_ms.size()) +
                                                2 * plain.variance_of_mean());
  const double lost = kEchoes - static_cast<double>(impaired.rtts_ms.size());
  const double lost_interval = 2.576 * std::sqrt(loss_variance * kEchoes);
  const double twice = static_cast<double>(std::count_if(impaired.answered.begin(), impaired.answered.end(),
                                                         [](int copies) { return copies > 1; }));
  Outcome out;
  out.rtt_within = std::abs(rtt - mean) <= rtt_interval;
  out.loss_within = std::abs(lost - kEchoes * (1 - passes)) <= lost_interval &&
                    plain.rtts_ms.size() >= kEchoes - 2 && twice > kEchoes * 0.02;
  out.text = fmt::format(
      "seed {}: RTT {:.3f} ms, predicted {:.3f} ± {:.3f} (this machine adds {:.3f}); lost {} of {}, "
      "predicted {:.0f} ± "
      "{:.0f}; {} came twice",
      seed, rtt, mean, rtt_interval, machine, lost, kEchoes, kEchoes * (1 - passes), lost_interval, twice);
  return out;
}

TEST(NestedLinks, ThirteenImpairmentsDoWhatTheyPredictTogether) {
  if (const auto why = missing(); !why.empty()) GTEST_SKIP() << why;
  // A 99 % interval is missed once in a hundred runs: one more run, of another seed, makes that once in ten thousand.
  Outcome outcome;
  for (const std::uint64_t seed : {11u, 12u}) {
    outcome = run(seed);
    std::printf("%s\n", outcome.text.c_str());
    if (outcome.rtt_within && outcome.loss_within) break;
  }
  EXPECT_TRUE(outcome.rtt_within) << outcome.text;
  EXPECT_TRUE(outcome.loss_within) << outcome.text;
}

}  // namespace
}  // namespace qanat::linkem
