// Operators at the console, by tokens. Tenants who sign in: the npm package `oidc-provider` as a real issuer (oidc_issuer/issuer.mjs), its access token as the
// bearer of a call. The package is installed into a folder of the build, from the lock file beside the script.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/hex.hh"
#include "tests/e2e/gateway/metering_lab.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

class SignIn : public Metering {
 protected:
  void SetUp() override {
    const std::filesystem::path source = "tests/e2e/gateway/oidc_issuer";
    folder_of_packages_ = std::filesystem::path(std::getenv("QANAT_BIN") ? std::getenv("QANAT_BIN") : ".") /
                          ".." / "oidc_issuer";
    if (std::system("node --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "node is not installed";
    std::filesystem::create_directories(folder_of_packages_);
    for (const char* file : {"package.json", "package-lock.json"})
      std::filesystem::copy_file(source / file, folder_of_packages_ / file,
                                 std::filesystem::copy_options::overwrite_existing);
    const std::string in_folder = "cd '" + folder_of_packages_.string() + "' && ";
    if (std::system((in_folder + "cmp -s package-lock.json node_modules/.of-lock").c_str()) != 0 &&
        std::system((in_folder + "npm ci --no-audit --no-fund --ignore-scripts >npm.log 2>&1 && cp "
                                 "package-lock.json node_modules/.of-lock")
                        .c_str()) != 0)
      GTEST_SKIP() << "npm cannot install oidc-provider here; see " << (folder_of_packages_ / "npm.log");
    script_ = (std::filesystem::current_path() / source / "issuer.mjs").string();
    issuer_port_ = support::free_port();
    const std::string issuer = "http://127.0.0.1:" + std::to_string(issuer_port_);
    more_ = "[oidc]\nissuer = \"" + issuer + "\"\naudience = \"qanat\"\njwks_url = \"" + issuer +
            "/jwks\"\ntenant_claim = \"groups\"\ntenants = [\"lab group=lab\"]\nmax_calls = 2\n"
            "refresh = \"1s\"\n";
    start_issuer();
    Metering::SetUp();
  }
  void TearDown() override { stop_issuer(); }

  void start_issuer() {
    issuer_ = ::fork();
    if (issuer_ == 0) {
      if (::chdir(folder_of_packages_.c_str()) != 0 || !std::freopen("issuer.log", "w", stderr) ||
          !std::freopen("/dev/null", "w", stdout))
        ::_exit(126);
      const std::string port = std::to_string(issuer_port_);
      ::execlp("node", "node", script_.c_str(), port.c_str(), nullptr);
      ::_exit(127);
    }
    for (int i = 0; i < 200; ++i) {
      const auto set = base::fetch_blocking(issuer_url(), {"GET", "/jwks", {}, ""});
      if (set && set->status == 200) return;
      std::this_thread::sleep_for(milliseconds(50));
    }
    FAIL() << "the issuer does not answer; see " << (folder_of_packages_ / "issuer.log");
  }
  void stop_issuer() {
    if (issuer_ <= 0) return;
    ::kill(issuer_, SIGKILL);
    ::waitpid(std::exchange(issuer_, 0), nullptr, 0);
  }
  std::string issuer_url() const { return "http://127.0.0.1:" + std::to_string(issuer_port_); }
  // As RFC 6749 §4.4 and RFC 8707 have it.
  std::string token(const std::string& who, const std::string& resource = "urn:qanat") {
    const std::string secret = who + ":" + who + "-secret";
    const std::string basic =
        base::to_base64(std::span(reinterpret_cast<const std::uint8_t*>(secret.data()), secret.size()));
    const auto answer = base::fetch_blocking(
        issuer_url(),
        {"POST",
         "/token",
         {{"authorization", "Basic " + basic}, {"content-type", "application/x-www-form-urlencoded"}},
         "grant_type=client_credentials&scope=call&resource=" + resource});
    EXPECT_TRUE(answer && answer->status == 200) << (answer ? answer->body : "");
    return answer ? json::parse(answer->body).value("access_token", "") : "";
  }
  base::ClientResponse call(const std::string& bearer) {
    return tenant("POST", "/v1/chat/completions", body("", false).dump(), bearer);
  }

  std::filesystem::path folder_of_packages_;
  std::string script_;
  unsigned issuer_port_ = 0;
  pid_t issuer_ = 0;
};

TEST_F(SignIn, ATokenOfTheIssuerIsAKey) {
  const std::string first = token("lab");
  base::ClientResponse answer;
  for (int i = 0; i < 40 && answer.status != 200; ++i) {
    answer = call(first);
    if (answer.status != 200) std::this_thread::sleep_for(milliseconds(100));
  }
  ASSERT_EQ(answer.status, 200) << answer.body << first << gateway_->log();
  const json line = latest();
  EXPECT_EQ(line["tenant"], "lab");
  EXPECT_EQ(line["project"], "default");
  EXPECT_TRUE(line["key"].get<std::string>().starts_with("oidc-")) << line;
  EXPECT_EQ(json::parse(tenant("GET", "/qanat/v1/bill", "", first).body)["lines"].size(), 1u);
  EXPECT_EQ(json::parse(tenant("GET", "/qanat/v1/usage", "", first).body)["max_calls"], 2);
  // Its budget is the tenant's.
  admin("PUT", "/v1/budgets", R"({"account":"lab","limit_nano":1})");
  EXPECT_EQ(call(first).status, 429);
  admin("PUT", "/v1/budgets", R"({"account":"lab","limit_nano":-1})");
  // Other audiences, who is in no group, and what only looks like a token.
  for (const auto& [bearer, reason] :
       {std::pair{token("lab", "urn:elsewhere"), "audience"}, std::pair{token("nobody"), "no_tenant"},
        std::pair{token("lab", "urn:qanat-rsa"), "audience"}, std::pair{std::string("a.b.c"), "malformed"},
        std::pair{first.substr(0, first.size() - 4) + "AAAA", "bad_signature"}}) {
    const auto refused = call(bearer);
    EXPECT_EQ(refused.status, 401) << reason;
    EXPECT_NE(refused.headers.value_or("www-authenticate", "").find("invalid_token"), std::string::npos);
    EXPECT_NE(admin("GET", "/metrics")
                  .body.find(std::string("qanat_gateway_tokens_refused_total{reason=\"") + reason + "\"}"),
              std::string::npos)
        << reason;
  }
  // The issuer is away: its last keys are good.
  stop_issuer();
  std::this_thread::sleep_for(milliseconds(1200));
  EXPECT_EQ(call(first).status, 200);
  // It comes back with new keys: the old one is withdrawn, the new one believed.
  start_issuer();
  const std::string second = token("lab");
  answer = {};
  for (int i = 0; i < 60 && answer.status != 200; ++i) {
    answer = call(second);
    if (answer.status != 200) std::this_thread::sleep_for(milliseconds(100));
  }
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(call(first).status, 401);
  books(3);
}

// The console: each token's role, and nothing beyond it; what it changes is logged with who.
TEST_F(GatewayLab, TheConsoleLetsInByRole) {
  const auto secret = [&](const std::string& name) {
    return folder_.write(name + ".token", "the token of " + name + "\n");
  };
  const unsigned port = support::free_port();
  more_ = "[console]\nlisten = \"127.0.0.1:" + std::to_string(port) + "\"\nadmin_token_file = \"" +
          secret("admin") + "\"\nviewer_token_file = \"" + secret("viewer") +
          "\"\n[[console.supplier]]\nname = \"harbour\"\ntoken_file = \"" + secret("harbour") +
          "\"\npools = [\"far\"]\n";
  start_pools();
  start_gateway();
  const auto ask = [&](const std::string& token, const std::string& target,
                       const std::string& method = "GET") {
    base::ClientRequest request{method, target, {}, method == "GET" ? "" : "{}"};
    if (!token.empty()) request.headers.add("authorization", "Bearer " + token);
    const auto said = base::fetch_blocking("http://127.0.0.1:" + std::to_string(port), std::move(request));
    EXPECT_TRUE(said) << target;
    return said ? std::pair(said->status, said->body) : std::pair(0, std::string());
  };
  const std::string admin = "the token of admin", viewer = "the token of viewer",
                    supplier = "the token of harbour";
  EXPECT_EQ(json::parse(ask(supplier, "/v1/console").second)["role"], "supplier");
  EXPECT_EQ(json::parse(ask(admin, "/v1/console").second)["pools"].size(), 2u);
  for (const auto& [token, method, target, status] :
       {std::tuple{admin, "POST", "/v1/keys", 400}, std::tuple{admin, "GET", "/v1/pools", 200},
        std::tuple{viewer, "GET", "/v1/pools", 200}, std::tuple{viewer, "POST", "/v1/keys", 403},
        std::tuple{supplier, "GET", "/v1/statements/far", 200},
        std::tuple{supplier, "GET", "/v1/statements/local", 403},
        std::tuple{supplier, "POST", "/v1/statements/far", 403}, std::tuple{supplier, "GET", "/v1/keys", 403},
        std::tuple{key_, "GET", "/v1/pools", 401}, std::tuple{std::string(), "GET", "/v1/pools", 401},
        std::tuple{std::string(), "GET", "/healthz", 200}})
    EXPECT_EQ(ask(token, target, method).first, status) << token << " " << method << " " << target;
  EXPECT_NE(gateway_->log().find("console: admin at 127.0.0.1"), std::string::npos) << gateway_->log();
  EXPECT_EQ(gateway_->log().find(admin), std::string::npos) << "no token is logged";
}

}  // namespace
}  // namespace qanat::e2e
