// Three controllers on etcd that stand in for each other: their leader is killed, paused past its lease, and cut
// off from etcd, under traffic and under an operator who changes something all the time.
//
//   hq: etcd ──(plane 2)── c1, c2, c3 ──(plane 2)── city, relay1, far1
//   city ──(plane 1) 40 ms── far1;  city ──5 ms── relay1 ──5 ms── far1
//
// QANAT_LEADER_ROUNDS=20 kills twenty times (and pauses and cuts off as often); the suite does each once or so.
#include <cstdlib>
#include <set>

#include "tests/e2e/lab/recovery_lab.hh"

namespace qanat::lab {
namespace {

constexpr const char* kNodes = R"(
name = "leaders"
seed = 1
[[plane]]
id = 1
name = "private"
[[plane]]
id = 2
name = "internet"
[[etcd]]
node = "hq"
[[tenant]]
name = "lab"
vni = 100
members = ["city", "far1"]
)";

std::string topology_text() {
  std::string text = kNodes;
  const auto node = [&](const std::string& name, bool box) {
    text += "[[node]]\nname = \"" + name + "\"\nlocation = \"gz.cn\"\nplanes = " + (box ? "[1, 2]" : "[2]") +
            "\ndomain = " + (box ? "1" : "0") + "\nbox = " + (box ? "true" : "false") +
            (name == "relay1" ? "\nrelay = true\n" : "\n");
  };
  const auto link = [&](int plane, const std::string& a, const std::string& b, int delay) {
    const std::string spec = "\"100mbit,delay=" + std::to_string(delay) + "ms\"";
    text += "[[link]]\nplane = " + std::to_string(plane) + "\na = \"" + a + "\"\nb = \"" + b +
            "\"\nup = " + spec + "\ndown = " + spec + "\n";
  };
  for (const char* box : {"city", "relay1", "far1"}) node(box, true);
  node("hq", false);
  for (const std::string c : {"c1", "c2", "c3"}) {
    node(c, false);
    text += "[[controller]]\nname = \"" + c + "\"\nnode = \"" + c + "\"\nrole = \"domain\"\ndomain = 1\n";
    link(2, c, "hq", 1);
    for (const char* box : {"city", "relay1", "far1"}) link(2, c, box, 2);
  }
  link(1, "city", "far1", 40);
  link(1, "city", "relay1", 5);
  link(1, "relay1", "far1", 5);
  return text;
}

int rounds() {
  const char* asked = std::getenv("QANAT_LEADER_ROUNDS");
  return asked == nullptr ? 1 : std::max(1, std::atoi(asked));
}

class Leaders : public LabFixture {
 protected:
  static void SetUpTestSuite() {
    bring("leaders", topology_text(), {bin() + "/linkem", bin() + "/qanatd", "/usr/bin/etcd"});
  }

  static std::string socket_of(const std::string& controller) {
    for (const auto& c : lab_->controllers)
      if (c.name == controller) return c.socket;
    return {};
  }
  // A status, or null: nobody answers.
  static json status_of(const std::string& socket) {
    try {
      return get(socket, "/v1/status");
    } catch (const LabError&) {
      return nullptr;
    }
  }
  // Who leads, of those that run; "" nobody.
  static std::string leader(const std::string& but = "") {
    for (const auto& c : lab_->controllers) {
      if (c.name == but) continue;
      const json status = status_of(c.socket);
      if (status.is_object() && status.value("role", "") == "domain") return c.name;
    }
    return {};
  }
  static Process& controller(const std::string& name) { return process("controller-" + name); }
  static void cut(const std::string& controller, bool down) {
    call(lab_->linkem_socket, "POST", "/v1/links/" + controller + "-hq-p2/fault",
         {{"down", down}, {"direction", "both"}});
  }

  // (epoch, version) of what a box has applied.
  using Applied = std::pair<std::uint64_t, std::uint64_t>;
  static Applied applied(const std::string& box) {
    const json controller = get(lab_->node(box)->socket, "/v1/status").at("controller");
    return {controller.value("epoch", 0ull), controller.value("version", 0ull)};
  }
};

// Puts one tenant after the other to whoever takes it, and remembers what was acknowledged.
class Operator {
 public:
  explicit Operator(std::vector<std::string> sockets) : sockets_(std::move(sockets)) {
    thread_ = std::thread([this] {
      for (int n = 0; !stopping_; ++n) {
        const std::string name = "t" + std::to_string(n);
        for (const auto& socket : sockets_) {
          if (stopping_ || !put(socket, name, 1000 + n)) continue;
          acknowledged_.insert(name);
          last_ = Clock::now();
          break;
        }
        std::this_thread::sleep_for(20ms);
      }
    });
  }
  ~Operator() { stop(); }
  const std::set<std::string>& stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
    return acknowledged_;
  }
  Clock::time_point last() const { return last_; }

 private:
  static bool put(const std::string& socket, const std::string& name, int vni) {
    base::ClientRequest request{.method = "PUT", .target = "/v1/tenants/" + name, .headers = {}};
    request.body = json{{"vni", vni}, {"members", json::array()}}.dump();
    base::HttpClientOptions options;
    options.read_timeout = 300ms;
    const auto reply = base::fetch_blocking("unix:" + socket, request, options);
    return reply && reply->status == 200;
  }

  std::vector<std::string> sockets_;
  std::set<std::string> acknowledged_;
  std::atomic<Clock::time_point> last_ = Clock::now();
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

TEST_F(Leaders, NothingAcknowledgedIsLostAndNothingOfADeposedOneIsApplied) {
  OutageFlow flow({lab_->node("city")->netns, lab_->node("city")->overlay},
                  {lab_->node("far1")->netns, lab_->node("far1")->overlay});
  std::vector<std::string> sockets;
  for (const auto& c : lab_->controllers) sockets.push_back(c.socket);
  Operator person(sockets);
  const std::vector<std::string> boxes = {"city", "relay1", "far1"};
  const auto applied_by_all = [&] {
    std::map<std::string, Applied> out;
    for (const auto& box : boxes) out[box] = applied(box);
    return out;
  };
  std::this_thread::sleep_for(300ms);
  flow.mark();

  enum class Fault { Kill, Pause, CutOff };
  std::vector<Fault> faults;
  for (int i = 0; i < rounds(); ++i) faults.insert(faults.end(), {Fault::Kill, Fault::Pause});
  if (rounds() > 1) faults.insert(faults.end(), static_cast<std::size_t>(rounds()), Fault::CutOff);
  double longest_s = 0, longest_at_boxes_s = 0;
  auto held = applied_by_all();
  for (const Fault fault : faults) {
    const std::string old = leader();
    ASSERT_FALSE(old.empty());
    const auto began = Clock::now();
    switch (fault) {
      case Fault::Kill: kill_9("controller-" + old); break;
      case Fault::Pause: send_signal(controller(old), SIGSTOP); break;
      case Fault::CutOff: cut(old, true); break;
    }
    // Another one leads, and takes a change.
    ASSERT_TRUE(within(10s, [&] { return !leader(old).empty(); })) << "nobody took over";
    const std::string next = leader(old);
    const auto led = Clock::now();
    ASSERT_TRUE(within(5s, [&] { return person.last() > led; })) << "no change was taken by " << next;
    const double took = std::chrono::duration<double>(person.last() - began).count();
    longest_s = std::max(longest_s, took);
    const std::uint64_t epoch = status_of(socket_of(next)).at("epoch");

    // The old one comes back while boxes still have their sessions with it, a request already waiting at its door.
    if (fault == Fault::Pause) send_signal(controller(old), SIGCONT);
    if (fault == Fault::Kill) start(controller(old));
    EXPECT_TRUE(within(10s, [&] {
      for (const auto& box : boxes)
        if (applied(box).first < epoch) return false;
      return true;
    })) << "boxes did not come over to the new leader";
    longest_at_boxes_s =
        std::max(longest_at_boxes_s, std::chrono::duration<double>(Clock::now() - began).count());
    if (fault == Fault::CutOff) cut(old, false);
    EXPECT_TRUE(within(10s, [&] { return status_of(socket_of(old)).value("role", "") == "standby"; }))
        << old << ": " << last_lines(controller(old).log, 8);
    // Never back: what a deposed leader decides has a lower epoch, and boxes keep to the highest they have seen.
    const auto now = applied_by_all();
    for (const auto& box : boxes) {
      EXPECT_GE(now.at(box), held.at(box)) << box;
      EXPECT_EQ(now.at(box).first, epoch) << box;
    }
    held = now;
  }
  const auto acknowledged = person.stop();
  std::set<std::string> kept;
  for (const auto& tenant : get(socket_of(leader()), "/v1/tenants"))
    kept.insert(tenant.at("name").get<std::string>());
  for (const auto& name : acknowledged)
    EXPECT_TRUE(kept.contains(name)) << name << " was acknowledged, and is lost";
  EXPECT_GE(acknowledged.size(), 3u * faults.size()) << "too few to tell";
  // The bound is the requirement's where it is asked for alone; beside a whole suite only that it comes.
  EXPECT_LE(longest_s, rounds() > 1 ? 5 : 10) << "from the fault to the next change that was acknowledged";
  EXPECT_LE(flow.outage_ms(), 500) << "the traffic did not notice";
  std::printf(
      "%zu faults: longest leader change %.2f s, until all boxes follow %.2f s; %zu changes acknowledged, "
      "%zu kept; "
      "longest gap in traffic %.0f ms\n",
      faults.size(), longest_s, longest_at_boxes_s, acknowledged.size(), kept.size(), flow.outage_ms());
}

}  // namespace
}  // namespace qanat::lab
