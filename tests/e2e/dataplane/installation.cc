#include "tests/e2e/dataplane/installation.hh"

#include <chrono>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

#include "base/http_client.hh"
#include "dataplane/io/netns.hh"

namespace qanat::test {

using nlohmann::json;
using namespace std::chrono_literals;

namespace {

json ask(const std::string& socket, const std::string& method, const std::string& target,
         const std::string& body) {
  base::ClientRequest request{.method = method, .target = target};
  request.body = body;
  const auto answer = base::fetch_blocking("unix:" + socket, std::move(request));
  if (!answer) throw std::runtime_error(method + " " + target + ": " + answer.error().message());
  if (answer->status / 100 != 2)
    throw std::runtime_error(method + " " + target + ": " + std::to_string(answer->status) + " " +
                             answer->body);
  return answer->body.empty() ? json() : json::parse(answer->body);
}

}  // namespace

std::string Installation::missing() {
  if (std::string why = namespaces_missing(); !why.empty()) return why;
  for (const char* program : {"qanat-controller", "qanatd"})
    if (!support::DaemonProcess::available(program)) return std::string(program) + " is not built";
  return {};
}

Installation::Installation(const std::vector<Box>& boxes) : home_(net_.add("ctl")) {
  for (const std::string plane : {"1", "2"}) {
    run("ip -n " + home_ + " link add br" + plane + " type bridge");
    run("ip -n " + home_ + " address add 10." + plane + ".0.254/16 dev br" + plane);
    run("ip -n " + home_ + " link set br" + plane + " up");
  }
  start_controller();
  json members = json::array();
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    numbers_[boxes[i].name] = i + 1;
    members.push_back({{"node", boxes[i].name},
                       {"addresses", {address(boxes[i].name) + "/32"}},
                       {"prefixes", json::array()}});
  }
  controller("PUT", "/v1/tenants/lab", json{{"vni", 100}, {"members", members}}.dump());
  for (std::size_t i = 0; i < boxes.size(); ++i) start(boxes[i], i + 1);
}

Installation::~Installation() = default;

void Installation::start_controller() {
  const std::string config =
      "name = \"lab\"\nrole = \"domain\"\ndomain = 1\nstate = \"" + folder_.file("lab.db") +
      "\"\nlisten = [\"10.1.0.254:7443\", \"10.2.0.254:7443\"]\nsocket = \"" + folder_.file("lab.sock") +
      "\"\n[probes]\nactive_interval_ms = 20\nmesh_interval_ms = 100\nreport_interval_ms = 100\n";
  controller_ = std::make_unique<support::DaemonProcess>(
      "qanat-controller", std::vector<std::string>{"--config", folder_.write("lab.toml", config)},
      folder_.file("lab.log"));
  const io::NetnsScope inside(home_);
  controller_->start();
  for (int i = 0; i < 400; ++i) {
    if (base::fetch_blocking("unix:" + folder_.file("lab.sock"), {.target = "/v1/status"})) return;
    std::this_thread::sleep_for(50ms);
  }
  throw std::runtime_error("qanat-controller did not come up:\n" + controller_->log());
}

void Installation::start(const Box& box, std::size_t number) {
  const std::string netns = net_.add(box.name);
  netns_[box.name] = netns;
  const std::string id = std::to_string(number);
  std::string lines;
  for (const int p : box.planes) {
    const std::string plane = std::to_string(p), device = "u" + plane, port = "p" + plane + "-" + id;
    run("ip link add " + port + " netns " + home_ + " type veth peer name " + device + " netns " + netns);
    run("ip -n " + home_ + " link set " + port + " master br" + plane + " up");
    run("ip -n " + netns + " address add 10." + plane + ".0." + id + "/16 dev " + device);
    run("ip -n " + netns + " link set " + device + " up");
    lines += "[[line]]\nplane = " + plane + "\naddress = \"10." + plane + ".0." + id +
             "\"\nport = 7700\nname = \"p" + plane + "\"\n";
    if (const auto rate = box.rates.find(p); rate != box.rates.end())
      lines += "rate = \"" + rate->second + "\"\n";
  }
  const json token = controller("POST", "/v1/join-tokens",
                                json{{"node", box.name}, {"relay", box.relay}, {"ttl_s", 600}}.dump());
  const std::string join = folder_.write(box.name + ".join", token.at("token"));
  const std::string config = "name = \"" + box.name + "\"\nlocation = \"gz.cn\"\nstate_dir = \"" +
                             folder_.file(box.name) + "\"\nsocket = \"" + folder_.file(box.name + ".sock") +
                             "\"\nrelay = " + (box.relay ? "true" : "false") +
                             "\n[controller]\naddresses = [\"10." + std::to_string(box.planes.front()) +
                             ".0.254:7443\"]\njoin_token_file = \"" + join + "\"\n" + lines;
  auto& daemon = boxes_[box.name];
  daemon = std::make_unique<support::DaemonProcess>(
      "qanatd", std::vector<std::string>{"--config", folder_.write(box.name + ".toml", config)},
      folder_.file(box.name + ".log"));
  const io::NetnsScope inside(netns);
  daemon->start();
}

std::string Installation::address(const std::string& box) const {
  return "100.96." + std::to_string(numbers_.at(box)) + ".1";
}

json Installation::controller(const std::string& method, const std::string& target,
                              const std::string& body) const {
  return ask(folder_.file("lab.sock"), method, target, body);
}

json Installation::box(const std::string& name, const std::string& target) const {
  return ask(folder_.file(name + ".sock"), "GET", target, {});
}

std::uint64_t Installation::drops(const std::string& name) const {
  std::uint64_t sum = 0;
  const json status = box(name, "/v1/status");
  for (const auto& [reason, n] : status.at("drops").items()) sum += n.get<std::uint64_t>();
  return sum;
}

std::string Installation::drops_text(const std::string& name) const {
  return name + " " + box(name, "/v1/status").at("drops").dump() + " ";
}

bool Installation::wait_for_path(const std::string& from, const std::string& to) const {
  for (int i = 0; i < 300; ++i) {
    try {
      for (const json& path : box(from, "/v1/paths?to=" + to))
        if (path.at("active").get<bool>() && path.at("alive").get<bool>()) return true;
    } catch (const std::exception&) {  // not up yet
    }
    std::this_thread::sleep_for(100ms);
  }
  return false;
}

std::string Installation::log() const {
  std::string out = controller_->log();
  for (const auto& [name, daemon] : boxes_) out += "\n---- " + name + "\n" + daemon->log();
  return out;
}

}  // namespace qanat::test
