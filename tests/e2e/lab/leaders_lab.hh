// The lab whose controllers stand in for each other: three places, each with a controller and a member of etcd (TLS, user
// and password), and three boxes; an operator who changes something all the time; what boxes applied, from their logs.
#pragma once

#include <fstream>
#include <regex>
#include <set>

#include "base/file.hh"
#include "tests/e2e/lab/recovery_lab.hh"

namespace qanat::lab {

// (epoch, version) of a box's configuration.
using Applied = std::pair<std::uint64_t, std::uint64_t>;

inline constexpr const char* kPlaces[] = {"c1", "c2", "c3"};
inline constexpr const char* kBoxes[] = {"city", "relay1", "far1"};

inline std::string leaders_topology() {
  std::string text = R"(
name = "leaders"
seed = 1
[[plane]]
id = 1
name = "private"
[[plane]]
id = 2
name = "internet"
[[tenant]]
name = "lab"
vni = 100
members = ["city", "far1"]
)";
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
  for (const char* box : kBoxes) node(box, true);
  for (const std::string c : kPlaces) {
    node(c, false);
    text += "[[etcd]]\nnode = \"" + c + "\"\n[[controller]]\nname = \"" + c + "\"\nnode = \"" + c +
            "\"\nrole = \"domain\"\ndomain = 1\n";
    for (const char* box : kBoxes) link(2, c, box, 2);
  }
  link(2, "c1", "c2", 1);
  link(2, "c1", "c3", 1);
  link(2, "c2", "c3", 1);
  link(1, "city", "far1", 40);
  link(1, "city", "relay1", 5);
  link(1, "relay1", "far1", 5);
  return text;
}

class LeadersLab : public LabFixture {
 protected:
  static void SetUpTestSuite() {
    bring("leaders", leaders_topology(), {bin() + "/linkem", bin() + "/qanatd", "/usr/bin/etcd"});
  }

  static std::string socket_of(const std::string& controller) {
    for (const auto& c : lab_->controllers)
      if (c.name == controller) return c.socket;
    return {};
  }
  static Process& controller(const std::string& place) { return process("controller-" + place); }
  static Process& etcd(const std::string& place) { return process("etcd-" + place); }
  // Null: nobody answers in time. Of a controller that is stopped, too.
  static json status_of(const std::string& place) {
    const auto reply =
        base::fetch_blocking("unix:" + socket_of(place), {.target = "/v1/status", .headers = {}}, soon());
    return reply && reply->status == 200 ? json::parse(reply->body, nullptr, false) : json();
  }
  // Who leads, of those that run; "" nobody.
  static std::string leader(const std::string& but = "") {
    for (const std::string place : kPlaces) {
      if (place == but) continue;
      const json status = status_of(place);
      if (status.is_object() && status.value("role", "") == "domain") return place;
    }
    return {};
  }
  static bool stands_by(const std::string& place) {
    const json status = status_of(place);
    return status.is_object() && status.value("role", "") == "standby";
  }

  // Which member leads etcd; "" when none of them knows.
  static std::string etcd_leader() {
    for (const std::string place : kPlaces) {
      const json status = ask_etcd(place, "/v3/maintenance/status");
      if (status.is_object() && status.value("leader", "?") == status["header"].value("member_id", "!"))
        return place;
    }
    return {};
  }
  static bool etcd_is_whole() {
    for (const std::string place : kPlaces) {
      const json status = ask_etcd(place, "/v3/maintenance/status");
      if (!status.is_object() || status.value("leader", "0") == "0") return false;
    }
    return !etcd_leader().empty();
  }

  static void cut(const std::string& link, bool down) {
    call(lab_->linkem_socket, "POST", "/v1/links/" + link + "/fault",
         {{"down", down}, {"direction", "both"}});
  }
  // A place from etcd's other members, the other controllers and all boxes.
  static void cut_off(const std::string& place, bool down) {
    for (const char* box : kBoxes) cut(place + "-" + box + "-p2", down);
    for (const char* link : {"c1-c2", "c1-c3", "c2-c3"})
      if (std::string(link).find(place) != std::string::npos) cut(std::string(link) + "-p2", down);
  }

  static std::uint64_t epoch_at(const std::string& box) {
    return get(lab_->node(box)->socket, "/v1/status").at("controller").value("epoch", std::uint64_t{0});
  }
  static bool all_follow(std::uint64_t epoch) {
    return std::all_of(std::begin(kBoxes), std::end(kBoxes),
                       [&](const char* box) { return epoch_at(box) >= epoch; });
  }
  // Everything that a box put in force, in order, but what it took back after a trial.
  static std::vector<Applied> applied(const std::string& box) {
    static const std::regex line("configuration ([0-9]+)\\.([0-9]+) in force");
    std::ifstream log(process("qanatd-" + box).log);
    std::vector<Applied> out;
    std::smatch found;
    for (std::string text; std::getline(log, text);)
      if (text.find("(rolled back)") == std::string::npos && std::regex_search(text, found, line))
        out.emplace_back(std::stoull(found[1]), std::stoull(found[2]));
    return out;
  }

  static base::HttpClientOptions soon() {
    base::HttpClientOptions options;
    options.read_timeout = 300ms;
    return options;
  }

 private:
  static json ask_etcd(const std::string& place, const std::string& target) {
    const linkem::NetnsScope inside(lab_->node(place)->netns);
    base::HttpClientOptions options = soon();
    options.tls = base::client_context(base::read_file(lab_->folder() + "/secret/etcd-ca.pem"), std::nullopt);
    const std::string url = "https://" + lab_->node(place)->underlay.back() + ":2379";
    const auto reply =
        base::fetch_blocking(url, {.method = "POST", .target = target, .headers = {}, .body = "{}"}, options);
    return reply && reply->status == 200 ? json::parse(reply->body, nullptr, false) : json();
  }
};

// Puts one tenant after the other to whoever takes it, and remembers what was acknowledged; now and then one that moves
// to relay1 or leaves it, so that boxes have something to apply.
class Operator {
 public:
  explicit Operator(std::vector<std::string> sockets) : sockets_(std::move(sockets)) {
    thread_ = std::thread([this] {
      for (int n = 0; !stopping_; ++n) {
        const bool moves = n % 20 == 0;
        const std::string name = moves ? "moving" : "t" + std::to_string(n);
        json members = json::array();
        if (moves && n % 40 == 0) members.push_back({{"node", "relay1"}, {"addresses", {"100.97.0.1/32"}}});
        for (const auto& socket : sockets_) {
          if (stopping_ || !put(socket, name, moves ? 999 : 1000 + n, members)) continue;
          acknowledged_.insert(name);
          last_ = Clock::now();
          break;
        }
        std::this_thread::sleep_for(60ms);
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
  static bool put(const std::string& socket, const std::string& name, int vni, const json& members) {
    base::ClientRequest request{.method = "PUT", .target = "/v1/tenants/" + name, .headers = {}};
    request.body = json{{"vni", vni}, {"members", members}}.dump();
    base::HttpClientOptions options;
    options.read_timeout = 300ms;
    const auto reply = base::fetch_blocking("unix:" + socket, std::move(request), options);
    return reply && reply->status == 200;
  }

  std::vector<std::string> sockets_;
  std::set<std::string> acknowledged_;
  std::atomic<Clock::time_point> last_ = Clock::now();
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace qanat::lab
