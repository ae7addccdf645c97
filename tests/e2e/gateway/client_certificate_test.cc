// Boxes that call with a certificate of the controller's CA in place of a key: over real TLS, by the client library and curl.
#include <cstdio>

#include "base/clock.hh"
#include "base/file.hh"
#include "base/tls.hh"
#include "controller/session/authority.hh"
#include "controller/store/sqlite_store.hh"
#include "gateway/access/client/client.hh"
#include "tests/e2e/gateway/gateway_lab.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;
constexpr base::UnixSeconds kYear = 365 * 86'400;

class ClientCertificate : public GatewayLab {
 protected:
  void SetUp() override {
    GatewayLab::SetUp();
    if (IsSkipped()) return;
    const auto server = authority_.server_identity("gateway", now_);
    ca_ = folder_.write("ca.pem", authority_.ca_pem());
    tls_port_ = support::free_port();
    box_ = issue("box", "qanat:node:17", authority_, now_);
    lost_ = issue("lost", "qanat:node:17", authority_, now_);
    more_ = "[tls]\nlisten = [\"127.0.0.1:" + std::to_string(tls_port_) + "\"]\ncertificate_file = \"" +
            folder_.write("gateway.pem", server.certificate_pem) + "\"\nkey_file = \"" +
            folder_.write("gateway-key.pem", server.private_key_pem) + "\"\nclient_ca_file = \"" + ca_ +
            "\"\nrevoked = [\"" + serial_of(lost_) +
            "\"]\n[[client]]\nidentity = \"qanat:node:17\"\ntenant = \"boxes\"\nproject = \"feeders\"\n"
            "max_calls = 1\n";
    start_pools();
    start_gateway();
  }

  // Files of a certificate for a new key, without their endings.
  std::string issue(const std::string& name, const std::string& uri, const session::Authority& authority,
                    base::UnixSeconds at) {
    const std::string key = session::make_private_key();
    const auto pem = authority.issue(session::make_request(key, name), name, uri, at);
    EXPECT_TRUE(pem.has_value());
    folder_.write(name + ".key", key);
    const std::string path = folder_.write(name + ".pem", *pem);
    return path.substr(0, path.size() - 4);
  }
  static std::string serial_of(const std::string& files) {
    return base::certificate_identity(base::read_file(files + ".pem"))->serial_hex;
  }
  client::Access access(const std::string& files) {
    client::Access access;
    access.api = "https://127.0.0.1:" + std::to_string(tls_port_);
    access.ca_file = ca_;
    if (!files.empty())
      access.certificate_file = files + ".pem", access.certificate_key_file = files + ".key";
    return access;
  }
  client::Result<client::Answer> chat(const client::Access& access) {
    return client::chat(access, {kModel, "", "carry water", 5, ""}, [](std::string_view) { return true; });
  }
  // What curl prints: the body and the status, or its error.
  std::string curl(const std::string& files, const std::string& path = "/v1/models") {
    const std::string command = "curl -sS --max-time 10 --cacert " + ca_ +
                                (files.empty() ? "" : " --cert " + files + ".pem --key " + files + ".key") +
                                " -w ' %{http_code}' -k https://127.0.0.1:" + std::to_string(tls_port_) +
                                path + " 2>&1";
    std::string out;
    FILE* pipe = ::popen(command.c_str(), "r");
    for (char buffer[4096]; const std::size_t n = std::fread(buffer, 1, sizeof buffer, pipe);)
      out.append(buffer, n);
    ::pclose(pipe);
    return out;
  }

  const base::UnixSeconds now_ = base::unix_now();
  store::SqliteStore store_{":memory:"}, other_store_{":memory:"};
  session::Authority authority_{store_, "lab", now_ - 2 * kYear};
  std::string ca_, box_, lost_;
  unsigned tls_port_ = 0;
};

TEST_F(ClientCertificate, ABoxIsItsTenantWithoutAKey) {
  const auto answer = chat(access(box_));
  ASSERT_TRUE(answer.has_value()) << answer.error().message << gateway_->log();
  EXPECT_EQ(answer->completion_tokens, 5u);
  settled([](const json& totals) { return totals["calls"] == 1; });
  const std::string bill = curl(box_, "/qanat/v1/bill");
  for (const std::string& part : {answer->call, std::string("feeders"), std::string(" 200")})
    EXPECT_NE(bill.find(part), std::string::npos) << part << " in " << bill;
}

TEST_F(ClientCertificate, AKeyBesideItCountsFirst) {
  client::Access both = access(box_);
  both.key = key_;
  const auto answer = chat(both);
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  settled([](const json& totals) { return totals["calls"] == 1; });
  EXPECT_NE(tenant("GET", "/qanat/v1/bill").body.find(answer->call), std::string::npos);
  both.key = "sk-qanat-wrong";
  const auto wrong = chat(both);
  ASSERT_FALSE(wrong.has_value());
  EXPECT_EQ(wrong.error().problem, client::Problem::NotAllowed) << wrong.error().message;
  both = access("");
  both.key = key_;
  EXPECT_TRUE(chat(both).has_value()) << "without a certificate, by key over TLS";
}

TEST_F(ClientCertificate, WhoIsRefusedIsToldWhy) {
  const auto revoked = chat(access(lost_));
  ASSERT_FALSE(revoked.has_value());
  EXPECT_EQ(revoked.error().status, 401);
  EXPECT_EQ(revoked.error().message, "the client certificate was revoked");
  const auto unknown = chat(access(issue("stranger", "qanat:node:18", authority_, now_)));
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().status, 401);
  EXPECT_EQ(unknown.error().message, "the client certificate is of nobody who is configured here");
  const auto nobody = chat(access(""));
  ASSERT_FALSE(nobody.has_value());
  EXPECT_EQ(nobody.error().status, 401);

  const std::string old = issue("old", "qanat:node:17", authority_, now_ - kYear - 86'400);
  EXPECT_FALSE(chat(access(old)).has_value());
  EXPECT_NE(curl(old).find("certificate expired"), std::string::npos) << curl(old);
  const session::Authority other(other_store_, "lab", now_);
  const std::string foreign = issue("foreign", "qanat:node:17", other, now_);
  EXPECT_FALSE(chat(access(foreign)).has_value());
  EXPECT_EQ(curl(foreign).find(" 200"), std::string::npos) << curl(foreign);

  const std::string metrics = admin("GET", "/metrics").body;
  for (const char* line : {"qanat_gateway_certificates_refused_total{reason=\"revoked\"} 1\n",
                           "qanat_gateway_certificates_refused_total{reason=\"unknown\"} 1\n"})
    EXPECT_NE(metrics.find(line), std::string::npos) << line;
}

}  // namespace
}  // namespace qanat::e2e
