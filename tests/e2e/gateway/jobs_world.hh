// JobsWorld: a gateway with artefacts, two pools that trust it, and a second gateway that a test may start.
//
//   owner, clinic ── http ──> gateway "city" ── tickets ──> pool "local" (city), pool "far" (far1)
//                                 └── switch ──> gateway "port"
#pragma once

#include <filesystem>
#include <thread>

#include "gateway/jobs/artefact/manifest.hh"
#include "gateway/meter/signing_key.hh"
#include "tests/e2e/gateway/gateway_lab.hh"

namespace qanat::e2e {

using nlohmann::json;
using std::chrono::milliseconds;

inline std::int64_t unix_ms() {
  return std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

class JobsWorld : public GatewayLab {
 protected:
  void SetUp() override {
    GatewayLab::SetUp();
    local_port_ = support::free_port();
    far_port_ = support::free_port();
    port2_ = support::free_port();
    port_ = support::free_port();
  }
  // Pools trust the gateway's key, which is there before it is.
  void start(const std::string& express, const std::string& engine = "time_scale = 1\n",
             std::size_t pools = 2) {
    const auto about = key_of("city-artefacts");
    engine_ = engine;
    keys_ = "trust = [\"" + about + "\", \"" + key_of("port-artefacts") + "\"]\n";
    local_ = pool("local", "city", local_port_);
    far_ = pool("far", "far1", far_port_);
    gateway_ = gateway("city", "gw", port_,
                       express + "[[artefacts.peer]]\nname = \"port\"\nurl = \"" + url(port2_) + "\"\n");
    gateway_->start();
    wait_for_pools(pools);
    key_ = key("lab");
    clinic_ = key("clinic");
  }
  static std::string url(unsigned port) { return "http://127.0.0.1:" + std::to_string(port); }
  // Makes the key as the daemon would, by letting a gateway's store start once.
  std::string key_of(const std::string& folder) {
    const std::string path = folder_.file(folder);
    std::filesystem::create_directories(path);
    return meter::SigningKey::load_or_create(path + "/key.pem").public_key();
  }
  std::string key(const std::string& tenant) {
    return json::parse(admin("POST", "/v1/keys", json{{"tenant", tenant}}.dump()).body)
        .at("key")
        .get<std::string>();
  }
  std::unique_ptr<support::DaemonProcess> pool(const std::string& id, const std::string& site,
                                               unsigned port) {
    const std::string config = folder_.write(
        id + ".toml", "id = \"" + id + "\"\nprovider = \"pml\"\nlocation = \"" + site +
                          ".gz.cn\"\nsite = \"" + site + "\"\nlisten = \"127.0.0.1:" + std::to_string(port) +
                          "\"\nsocket = \"" + folder_.file(id + ".sock") + "\"\nusage_db = \"" +
                          folder_.file(id + ".db") + "\"\ncards = \"H20\"\ncount = 8\nmodels = [\"" + kModel +
                          "\"]\n[price]\ninput = 400\noutput = 1600\n[engine]\n" + engine_ +
                          "[artefacts]\nfolder = \"" + folder_.file(id + "-artefacts") + "\"\n" + keys_);
    auto process = std::make_unique<support::DaemonProcess>(
        "qanat-pool", std::vector<std::string>{"--config", config}, folder_.file(id + ".log"));
    process->start();
    return process;
  }
  std::unique_ptr<support::DaemonProcess> gateway(const std::string& name, const std::string& socket,
                                                  unsigned port, const std::string& artefacts) {
    const std::string config = folder_.write(
        name + ".toml",
        "name = \"" + name + "\"\nlocation = \"gz.cn\"\nlisten = [\"127.0.0.1:" + std::to_string(port) +
            "\"]\nsocket = \"" + folder_.file(socket + ".sock") + "\"\nledger = \"" +
            folder_.file(name + ".ledger") + "\"\njournal = \"" + folder_.file(name + ".journal") +
            "\"\n[[pool]]\nurl = \"" + url(local_port_) + "\"\nlocal = true\n[[pool]]\nurl = \"" +
            url(far_port_) + "\"\n[artefacts]\nfolder = \"" + folder_.file(name + "-artefacts") + "\"\n" +
            keys_ + artefacts);
    return std::make_unique<support::DaemonProcess>(
        "qanat-gateway", std::vector<std::string>{"--config", config}, folder_.file(name + ".log"));
  }

  // A training file of so many bytes, as JSON lines, sent by its chunks; its file's id.
  std::string put(const std::string& name, std::size_t bytes, const std::string& key = "") {
    std::string text;
    const std::string pad(4000, 'w');
    for (std::size_t i = 0; text.size() < bytes; ++i)
      text += R"({"messages":[{"role":"user","content":")" + name + std::to_string(i) + pad +
              R"("},{"role":"assistant","content":"water"}]})" + "\n";
    const jobs::Manifest manifest = jobs::manifest_of(text);
    const json begun = json::parse(
        tenant("POST", "/qanat/v1/artefacts?name=" + name + "&purpose=fine-tune", serialize(manifest), key)
            .body);
    for (const std::size_t n : begun.at("missing"))
      EXPECT_EQ(
          tenant("PUT", "/qanat/v1/artefacts/" + begun.at("id").get<std::string>() + "/" + std::to_string(n),
                 text.substr(n * manifest.chunk_bytes, manifest.bytes_of(n)), key)
              .status,
          200);
    return begun.at("id");
  }
  json call(const std::string& method, const std::string& target, const json& body = {},
            const std::string& key = "") {
    const auto answer = tenant(method, target, body.is_null() ? "" : body.dump(), key);
    json j = json::parse(answer.body, nullptr, false);
    if (j.is_object()) j["http"] = answer.status;
    return j;
  }
  json wait_for(const std::string& target, const std::function<bool(const json&)>& ready, int seconds,
                const std::string& key = "") {
    json j;
    using Clock = std::chrono::steady_clock;
    for (const auto end = Clock::now() + std::chrono::seconds(seconds); Clock::now() < end;) {
      j = call("GET", target, {}, key);
      if (ready(j)) return j;
      std::this_thread::sleep_for(milliseconds(40));
    }
    ADD_FAILURE() << target << ": " << j.dump(2) << gateway_->log();
    return j;
  }
  static bool has(const json& j, const char* key, const std::string& value) {
    return j.is_object() && j.contains(key) && j[key] == value;
  }

  std::string clinic_, keys_, engine_;
  unsigned port2_ = 0;
  std::unique_ptr<support::DaemonProcess> second_;
};

}  // namespace qanat::e2e
