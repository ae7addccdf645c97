// Disaster and restore: every controller's state is destroyed under traffic and put back from a backup that is older than what
// happened since.
//
//              hq: global, domain1
//               │(plane 2)
//   city ──5 ms── relay1 ──5 ms── far1        spare: a box that is revoked after the backup
#include <algorithm>
#include <array>
#include <map>

#include "tests/e2e/lab/lab_fixture.hh"
#include "tools/lab/outage_flow.hh"

namespace qanat::lab {
namespace {

constexpr const char* kTopology = R"(
name = "restore"
seed = 1
[[plane]]
id = 1
name = "private"
[[plane]]
id = 2
name = "internet"
[[node]]
name = "hq"
planes = [2]
box = false
[[controller]]
name = "global"
node = "hq"
role = "global"
[[controller]]
name = "domain1"
node = "hq"
role = "domain"
domain = 1
[[tenant]]
name = "lab"
vni = 100
members = ["city", "far1"]
)";
constexpr double kUndisturbedMs = 500;  // nothing on its way died; sanitizers and a busy machine included
constexpr auto kComesBack = 40s;        // a refused box asks again after 30 s

std::string topology_text() {
  std::string text = kTopology;
  const auto link = [&](int plane, const std::string& a, const std::string& b) {
    text += "[[link]]\nplane = " + std::to_string(plane) + "\na = \"" + a + "\"\nb = \"" + b +
            "\"\nup = \"100mbit,delay=5ms\"\ndown = \"100mbit,delay=5ms\"\n";
  };
  for (const std::string box : {"city", "far1", "relay1", "spare"}) {
    text += "[[node]]\nname = \"" + box + "\"\nplanes = [1, 2]\ndomain = 1\n";
    if (box == "relay1") text += "relay = true\n";
    link(2, box, "hq");
    if (box != "relay1") link(1, "relay1", box);
  }
  return text;
}

class Restore : public LabFixture {
 protected:
  using Version = std::pair<std::uint64_t, std::uint64_t>;
  static constexpr std::array<const char*, 2> kControllers{"global", "domain1"};
  static constexpr std::array<const char*, 3> kBoxes{"city", "far1", "relay1"};

  static void SetUpTestSuite() {
    if (std::system("sqlite3 -version > /dev/null") != 0) return skip("needs sqlite3, as operators do");
    bring("restore", topology_text(), {bin() + "/linkem", bin() + "/qanatd", bin() + "/qanat-controller"});
  }
  static const ControllerState& controller(const std::string& name) {
    return *std::find_if(lab_->controllers.begin(), lab_->controllers.end(),
                         [&](const auto& c) { return c.name == name; });
  }
  static json ask(const std::string& name, const std::string& target) {
    return get(controller(name).socket, target);
  }
  static json status(const std::string& box) { return get(lab_->node(box)->socket, "/v1/status"); }
  static Version held(const std::string& box) {
    const json c = status(box).at("controller");
    return {c.at("epoch"), c.at("version")};
  }
  static bool all_connected() {
    return std::all_of(kBoxes.begin(), kBoxes.end(),
                       [](const char* box) { return status(box).at("controller").at("connected"); }) &&
           ask("domain1", "/v1/status").at("parent") == "connected";
  }
  static OutageFlow flow() {
    return OutageFlow({lab_->node("city")->netns, lab_->node("city")->overlay},
                      {lab_->node("far1")->netns, lab_->node("far1")->overlay});
  }

  // ---- an operator's words (docs/guides/operator.md §10) ----
  static std::string state_of(const std::string& name) {
    return lab_->folder() + "/state/" + name + "/controller.db";
  }
  static void backup(const std::string& name, const std::string& as) {
    const std::string command = "sqlite3 " + state_of(name) + " '.backup " + lab_->folder() + "/" + as + "'";
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
  }
  static void destroy(const std::string& name) {
    kill_9("controller-" + name);
    std::filesystem::remove_all(std::filesystem::path(state_of(name)).parent_path());
  }
  static void restore(const std::string& name, const std::string& from) {
    std::filesystem::create_directories(std::filesystem::path(state_of(name)).parent_path());
    std::filesystem::copy_file(lab_->folder() + "/" + from, state_of(name),
                               std::filesystem::copy_options::overwrite_existing);
    lab::start(process("controller-" + name));
    save(*lab_);
  }
  static bool said(const std::string& what) {
    return last_lines(process("controller-domain1").log, 200).find(what) != std::string::npos;
  }
  static std::string logs() {
    std::string text;
    for (const char* name : {"controller-global", "controller-domain1", "qanatd-city", "qanatd-spare"})
      text += "\n" + std::string(name) + ":\n" + last_lines(process(name).log, 12);
    return text;
  }
  // The global level's word arrives: a member's prefix, at the far end.
  static bool tenant_reaches(const std::string& prefix) {
    json tenant;
    for (const json& t : ask("global", "/v1/tenants"))
      if (t.at("name") == "lab") tenant = t;
    tenant.erase("name");
    tenant.erase("from_parent");
    for (json& member : tenant.at("members"))
      if (member.at("node") == "far1") member["prefixes"] = {prefix};
    const auto before = held("city");
    call(controller("global").socket, "PUT", "/v1/tenants/lab", tenant);
    return within(15s, [&] {
      return ask("domain1", "/v1/tenants").dump().find(prefix) != std::string::npos && held("city") > before;
    });
  }
};

TEST_F(Restore, BoxesComeBackByThemselvesVersionsGrowAndWhoWasRevokedStaysOut) {
  ASSERT_TRUE(within(20s, all_connected)) << logs();
  std::map<std::string, std::uint32_t> numbers;
  for (const char* box : kBoxes) numbers[box] = status(box).at("node");
  for (const char* name : kControllers) backup(name, std::string(name) + ".backup");

  // What the backup knows nothing of.
  ASSERT_TRUE(tenant_reaches("198.51.100.0/24")) << logs();
  call(controller("domain1").socket, "POST", "/v1/nodes/far1/rotate-key", json());  // a new certificate, too
  EXPECT_TRUE(within(10s, [] { return said("far1) has a new certificate and a new static key"); })) << logs();
  call(controller("domain1").socket, "DELETE", "/v1/nodes/spare", json());
  EXPECT_TRUE(within(5s, [] { return !status("spare").at("controller").at("connected"); }));
  EXPECT_TRUE(within(5s, [] {  // everybody has acknowledged that it is denied
    for (const json& node : ask("domain1", "/v1/nodes"))
      if (held(node.at("name")).second != node.at("version_acked")) return false;
    return true;
  }));
  std::map<std::string, Version> before;
  for (const char* box : kBoxes) before[box] = held(box);
  const auto global_epoch = ask("global", "/v1/status").at("epoch").get<std::uint64_t>();

  auto outage = flow();
  std::this_thread::sleep_for(500ms);
  outage.mark();
  for (const char* name : kControllers) destroy(name);
  std::this_thread::sleep_for(3s);
  for (const char* name : kControllers) restore(name, std::string(name) + ".backup");

  EXPECT_TRUE(within(kComesBack, all_connected)) << logs();
  EXPECT_TRUE(within(10s,
                     [&] {
                       return std::all_of(kBoxes.begin(), kBoxes.end(), [&](const char* box) {
                         return held(box).first > before[box].first;
                       });
                     }))
      << "an epoch of its own: what the backup had said already is not said again" << logs();
  for (const char* box : kBoxes) {
    EXPECT_GT(held(box), before[box]) << box;
    EXPECT_EQ(status(box).at("node"), numbers[box]) << "as itself, by the certificate that it had";
  }
  EXPECT_TRUE(said("far1) has a certificate of ours that is newer than this state")) << logs();
  EXPECT_GE(ask("global", "/v1/status").at("epoch").get<std::uint64_t>(), global_epoch);
  EXPECT_LE(outage.outage_ms(), kUndisturbedMs);

  const auto members = [] { return ask("domain1", "/v1/nodes").dump(); };
  EXPECT_TRUE(within(10s, [&] { return members().find("spare") == std::string::npos; })) << members();
  std::this_thread::sleep_for(2s);
  EXPECT_FALSE(status("spare").at("controller").at("connected")) << logs();

  EXPECT_TRUE(tenant_reaches("203.0.113.0/24")) << "and the level above is heard: " << logs();
  EXPECT_LE(outage.outage_ms(), kUndisturbedMs);
}

// A rotation replaces the key that signs configurations with the CA. A backup from before it is nobody's controller any more,
// one from after it is.
TEST_F(Restore, OverARotatedConfigurationKeyOnlyTheBackupFromAfterItIsBelieved) {
  ASSERT_TRUE(within(kComesBack, all_connected)) << logs();
  const auto ca = [] { return ask("domain1", "/v1/ca"); };
  backup("domain1", "before");
  const std::string fingerprint = ca().at("fingerprint");
  call(controller("domain1").socket, "POST", "/v1/ca/rotate", json());
  ASSERT_TRUE(
      within(60s, [&] { return ca().at("phase") == "stable" && ca().at("fingerprint") != fingerprint; }))
      << ca() << logs();
  backup("domain1", "after");
  ASSERT_TRUE(tenant_reaches("192.0.2.0/24")) << logs();
  std::map<std::string, Version> before;
  for (const char* box : kBoxes) before[box] = held(box);

  auto outage = flow();
  std::this_thread::sleep_for(500ms);
  outage.mark();
  destroy("domain1");
  restore("domain1", "before");
  ASSERT_TRUE(within(10s, [&] { return ca().at("fingerprint") == fingerprint; })) << logs();
  std::this_thread::sleep_for(6s);
  for (const char* box : kBoxes) {
    const json at = status(box).at("controller");
    EXPECT_FALSE(at.at("connected").get<bool>()) << box << " believes a CA that was retired";
    EXPECT_NE(at.at("last_error"), "") << box;
    EXPECT_EQ(held(box), before[box]);
  }
  EXPECT_LE(outage.outage_ms(), kUndisturbedMs) << "they forward on what they hold";

  destroy("domain1");
  restore("domain1", "after");
  EXPECT_TRUE(within(kComesBack, all_connected)) << logs();
  EXPECT_TRUE(within(10s, [&] {
    return std::all_of(kBoxes.begin(), kBoxes.end(),
                       [&](const char* box) { return held(box) > before[box]; });
  })) << logs();
  EXPECT_NE(ca().at("fingerprint"), fingerprint);
  EXPECT_EQ(ca().at("phase"), "stable");
  EXPECT_TRUE(tenant_reaches("198.18.0.0/24")) << logs();
  EXPECT_LE(outage.outage_ms(), kUndisturbedMs);
}

}  // namespace
}  // namespace qanat::lab
