// The lab and its links on a real kernel: two namespaces, one linkem between them.
//
//   ql<pid>-left  10.1.0.1 ── p1-right ──[ linkem: left-right-p1 ]── p1-left ── 10.1.0.2  ql<pid>-right
//
// What a link does to packets is decided, and tested to the nanosecond, in the core; here the kernel's ends, the
// control socket, and above all that nothing is left behind: not after `down`, not after kill -9.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "base/config.hh"
#include "tools/lab/bring_up.hh"
#include "tools/lab/capture.hh"
#include "tools/lab/chaos/injector.hh"
#include "tools/lab/daemon_api.hh"
#include "tools/lab/lab_main.hh"
#include "tools/lab/outage_flow.hh"
#include "tools/lab/tear_down.hh"
#include "tools/linkem/netns.hh"

namespace qanat::lab {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

std::string bin() {
  const char* folder = std::getenv("QANAT_BIN");
  return folder ? folder : std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
}

std::string lab_name() { return "test-" + std::to_string(getpid()); }

Topology two_nodes() {
  base::ConfigReader reader(R"(name = "two"
[[plane]]
id = 1
name = "private"
[[node]]
name = "left"
planes = [1]
box = false
[[node]]
name = "right"
planes = [1]
box = false
[[link]]
plane = 1
a = "left"
b = "right"
up = "100mbit,delay=20ms"
down = "100mbit,delay=10ms"
)",
                            "two.toml");
  auto root = reader.root();
  Topology topology = read_topology(root);
  EXPECT_TRUE(reader.problems().empty());
  return topology;
}

BringUpOptions options(bool attached) {
  BringUpOptions out;
  out.name = lab_name();
  out.bin = bin();
  out.attached = attached;
  out.underlay_only = true;
  return out;
}

// What a lab could leave on the machine.
struct Traces {
  std::set<std::string> namespaces, interfaces, labs, processes;
  bool operator==(const Traces&) const = default;
};

Traces traces() {
  Traces out;
  for (const auto& name : linkem::list_netns("")) out.namespaces.insert(name);
  for (const auto& entry : std::filesystem::directory_iterator("/sys/class/net"))
    out.interfaces.insert(entry.path().filename());
  for (const auto& name : lab_names()) out.labs.insert(name);
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "cmdline");
    std::string line;
    if (file && std::getline(file, line) && line.find(lab_name()) != std::string::npos)
      out.processes.insert(line);
  }
  return out;
}

// A UDP socket in a namespace, bound and connected.
class Udp {
 public:
  Udp(const std::string& netns, const std::string& self, const std::string& peer) {
    const linkem::NetnsScope inside(netns);
    fd_ = linkem::Fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto address = [](const std::string& text) {
      sockaddr_in out{};
      out.sin_family = AF_INET;
      out.sin_port = htons(5001);
      inet_pton(AF_INET, text.c_str(), &out.sin_addr);
      return out;
    };
    const auto from = address(self), to = address(peer);
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<const sockaddr*>(&from), sizeof from), 0);
    EXPECT_EQ(connect(fd_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    const int room = 4 << 20;  // a burst must not be lost here
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    const timeval patience{0, 200'000};
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  bool send(int value) { return ::send(fd_.get(), &value, sizeof value, 0) == sizeof value; }
  std::optional<int> receive() {
    int value = 0;
    if (recv(fd_.get(), &value, sizeof value, 0) != sizeof value) return {};
    return value;
  }

 private:
  linkem::Fd fd_;
};

class LabE2e : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root for network namespaces";
    if (access("/dev/net/tun", R_OK | W_OK) != 0) GTEST_SKIP() << "needs /dev/net/tun";
    if (access((bin() + "/linkem").c_str(), X_OK) != 0) GTEST_SKIP() << "linkem is not built in " << bin();
    before_ = traces();
  }
  void TearDown() override {
    if (IsSkipped()) return;
    if (auto state = load(lab_name())) tear_down(*state);
    EXPECT_EQ(traces().namespaces, before_.namespaces);
    EXPECT_EQ(traces().interfaces, before_.interfaces);
    EXPECT_EQ(traces().labs, before_.labs);
    EXPECT_EQ(traces().processes, before_.processes);
  }
  Traces before_;
};

TEST_F(LabE2e, LinkDelaysLosesAndCutsAndCountsIt) {
  const LabState lab = bring_up(two_nodes(), options(false));
  Udp left(lab.node("left")->netns, "10.1.0.1", "10.1.0.2"),
      right(lab.node("right")->netns, "10.1.0.2", "10.1.0.1");

  std::vector<double> there_ms, back_ms;
  for (int i = 0; i < 30; ++i) {
    const auto start = Clock::now();
    ASSERT_TRUE(left.send(i));
    ASSERT_EQ(right.receive(), i);
    const auto middle = Clock::now();
    ASSERT_TRUE(right.send(i));
    ASSERT_EQ(left.receive(), i);
    there_ms.push_back(std::chrono::duration<double, std::milli>(middle - start).count());
    back_ms.push_back(std::chrono::duration<double, std::milli>(Clock::now() - middle).count());
  }
  // Never early; how late is the machine's affair, and bench/run measures it.
  EXPECT_GE(*std::min_element(there_ms.begin(), there_ms.end()), 20.0);
  EXPECT_GE(*std::min_element(back_ms.begin(), back_ms.end()), 10.0);
  EXPECT_LT(*std::min_element(there_ms.begin(), there_ms.end()), 30.0);

  call(lab.linkem_socket, "PUT", "/v1/links/left-right-p1", {{"up", "loss=30%"}});
  int arrived = 0;
  for (int i = 0; i < 500; ++i) left.send(i);
  while (right.receive()) ++arrived;
  EXPECT_NEAR(arrived, 350, 2.576 * std::sqrt(500 * 0.3 * 0.7));

  call(lab.linkem_socket, "POST", "/v1/links/left-right-p1/fault", {{"down", true}, {"direction", "up"}});
  left.send(1);
  EXPECT_FALSE(right.receive());
  right.send(2);
  EXPECT_EQ(left.receive(), 2) << "only one direction was cut";
  call(lab.linkem_socket, "PUT", "/v1/links/left-right-p1", {{"up", ""}, {"down", ""}});
  left.send(3);
  EXPECT_EQ(right.receive(), 3);

  const auto links = get(lab.linkem_socket, "/v1/links");
  ASSERT_EQ(links.size(), 1u);
  const auto& up = links[0]["up"];
  // The kernel may say a word of its own on a new interface (router solicitation), so ours are the least.
  const auto number = [&up](const char* key) { return up[key].get<std::int64_t>(); };
  const auto strangers = number("in_packets") - 532;
  EXPECT_GE(strangers, 0);
  EXPECT_LE(strangers, 8);
  EXPECT_EQ(number("in_packets"), number("out_packets") + up["dropped_packets"]["loss"].get<std::int64_t>() +
                                      up["dropped_packets"]["down"].get<std::int64_t>());
  EXPECT_NEAR(number("out_packets"), 31 + arrived, 8);
  EXPECT_NEAR(up["dropped_packets"]["loss"].get<int>(), 500 - arrived, 8);
  EXPECT_GE(up["dropped_packets"]["down"], 1);

  std::ifstream log(lab.linkem_log);
  std::vector<std::string> applied;
  for (std::string line; std::getline(log, line);) {
    const auto entry = nlohmann::json::parse(line);
    EXPECT_GT(entry["monotonic_ns"].get<std::int64_t>(), 0);
    applied.push_back(entry["direction"].get<std::string>() + " " + entry["spec"].get<std::string>());
  }
  EXPECT_THAT(applied, testing::ElementsAre("up loss=0.3", "up loss=0.3,down", "up ", "down "));
}

TEST_F(LabE2e, OutageFlowSeesACutAsLongAsItLasts) {
  const LabState lab = bring_up(two_nodes(), options(false));
  OutageFlow flow({lab.node("left")->netns, "10.1.0.1"}, {lab.node("right")->netns, "10.1.0.2"});
  std::this_thread::sleep_for(300ms);
  flow.mark();
  const auto start = Clock::now();
  call(lab.linkem_socket, "POST", "/v1/links/left-right-p1/fault", {{"down", true}, {"direction", "down"}});
  std::this_thread::sleep_for(250ms);
  call(lab.linkem_socket, "POST", "/v1/links/left-right-p1/fault", {{"down", false}, {"direction", "both"}});
  const double cut_ms = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  std::this_thread::sleep_for(200ms);
  // A cut of C lets what is due after it through: the gap is C, less what the calls themselves took.
  EXPECT_GE(flow.outage_ms(), 240);
  EXPECT_LE(flow.outage_ms(), cut_ms + 50);
  EXPECT_LT(flow.a_to_b().longest_gap_ms, flow.b_to_a().longest_gap_ms);
  EXPECT_GT(flow.a_to_b().received, 100u);
}

TEST_F(LabE2e, TheSameNameTwiceIsRefusedAndTheFirstLives) {
  const LabState lab = bring_up(two_nodes(), options(false));
  EXPECT_THROW(bring_up(two_nodes(), options(false)), LabError);
  EXPECT_TRUE(get(lab.linkem_socket, "/v1/links").is_array());
}

TEST_F(LabE2e, GarbageCollectionClearsUpAfterKillMinus9) {
  const std::string name = lab_name();  // of the parent's pid: the child has another
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // however this test ends
    try {
      auto how = options(true);
      how.name = name;
      bring_up(two_nodes(), how);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s\n", e.what());
      _exit(1);
    }
    pause();
    _exit(0);
  }
  for (int i = 0; i < 100; ++i) {
    if (const auto state = load(name); state && state->ready) break;
    std::this_thread::sleep_for(100ms);
  }
  collect_garbage();
  ASSERT_TRUE(load(name)) << "a lab whose owner lives is nobody's garbage";
  EXPECT_TRUE(linkem::netns_exists("ql" + std::to_string(child) + "-left"));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  collect_garbage();  // or another lab's that comes up just now
  EXPECT_FALSE(load(name));
  EXPECT_FALSE(linkem::netns_exists("ql" + std::to_string(child) + "-left"));
}

TEST_F(LabE2e, ACaptureHasTheLinksPackets) {
  const LabState lab = bring_up(two_nodes(), options(false));
  Udp left(lab.node("left")->netns, "10.1.0.1", "10.1.0.2"),
      right(lab.node("right")->netns, "10.1.0.2", "10.1.0.1");
  CaptureOptions how;
  how.netns = lab.node("right")->netns;
  how.device = "p1-left";
  how.file = lab.folder() + "/link.pcap";
  how.filter = "udp port 5001";
  how.count = 3;
  how.seconds = 10;
  std::uint64_t written = 0;
  std::thread reader([&] { written = capture(how); });
  for (int i = 0; i < 40; ++i) {  // until the capture has begun, and on
    left.send(i);
    std::this_thread::sleep_for(20ms);
  }
  reader.join();
  EXPECT_EQ(written, 3u);
  // A pcap file in nanoseconds: 24 bytes, and per packet 16 and an IPv4 packet of 32.
  EXPECT_EQ(std::filesystem::file_size(how.file), 24 + 3 * (16 + 32));
}

TEST_F(LabE2e, AScenarioIsDoneAndUndone) {
  LabState lab = bring_up(two_nodes(), options(false));
  const Topology topology = two_nodes();
  chaos::Injector injector(lab, topology, lab.folder() + "/log/chaos.jsonl");
  chaos::Action action;
  action.verb = chaos::Verb::Set;
  action.target = "left-right-p1";
  action.links = {action.target};
  action.direction = "up";
  action.spec = "loss=100%";
  injector.apply(1, "test", action, {});
  action.verb = chaos::Verb::Cut;
  injector.apply(2, "test", action, {});
  Udp left(lab.node("left")->netns, "10.1.0.1", "10.1.0.2"),
      right(lab.node("right")->netns, "10.1.0.2", "10.1.0.1");
  left.send(1);
  EXPECT_FALSE(right.receive());
  action.verb = chaos::Verb::Clear;
  injector.apply(2, "test", action, {});
  left.send(2);
  EXPECT_FALSE(right.receive()) << "the other scenario's loss is still there";
  injector.heal();
  left.send(3);
  EXPECT_EQ(right.receive(), 3);
  EXPECT_EQ(injector.faults(), 2u);
}

TEST_F(LabE2e, InAUserNamespaceItIsTheSameAndNobodyElseSeesIt) {
  if (access((bin() + "/qanat").c_str(), X_OK) != 0) GTEST_SKIP() << "qanat is not built in " << bin();
  const std::string file = std::filesystem::temp_directory_path() / (lab_name() + ".toml");
  std::ofstream(file) << to_toml(two_nodes());
  const auto run = [&](const std::string& arguments) {
    return std::system((bin() + "/qanat lab --user " + arguments + " >/dev/null 2>&1").c_str());
  };
  const bool up = run("up " + file + " --underlay-only -q --name " + lab_name()) == 0;
  EXPECT_TRUE(up);
  EXPECT_EQ(lab_names(), std::vector<std::string>(before_.labs.begin(), before_.labs.end()));
  EXPECT_EQ(run("exec left -- grep -q p1-right /proc/net/dev"), 0);
  EXPECT_EQ(run("down"), 0);
  std::filesystem::remove(file);
}

TEST_F(LabE2e, MissingDaemonsAreNamed) {
  auto how = options(false);
  how.bin = "/nonexistent";
  try {
    bring_up(two_nodes(), how);
    FAIL() << "nothing to run, and it came up";
  } catch (const LabError& e) {
    EXPECT_THAT(e.what(), testing::HasSubstr("linkem is not in /nonexistent"));
  }
}

TEST_F(LabE2e, BadTopologiesEndWithStatus2) {
  const auto file = std::filesystem::temp_directory_path() / (lab_name() + ".toml");
  std::ofstream(file) << "name = \"x\"\nplanes = 3\n";
  std::string path = file;
  std::vector<std::string> words = {"lab", "up", path};
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  EXPECT_EQ(lab_main(static_cast<int>(argv.size()), argv.data()), 2);
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace qanat::lab
