// The audit tree of calls at a real gateway: what it says is checked offline by `qanat audit verify`, books that somebody
// changed show, a kill -9 tears nothing, and a witness signs no second history.
//
//   tenant ──> qanat-gateway ──> pool          qanat audit export | proof | cosign ──> files ──> qanat audit verify
#include <signal.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "gateway/meter/signing_key.hh"
#include "gateway/meter/store.hh"
#include "tests/e2e/gateway/gateway_lab.hh"

namespace qanat::e2e {
namespace {

using nlohmann::json;

class Audit : public GatewayLab {
 protected:
  struct Said {
    int status = 0;
    std::string out;
  };
  void start() {
    witness_ = folder_.file("witness.pem");
    witness_key_ = meter::SigningKey::load_or_create(witness_).public_key();
    more_ = "[audit]\ncheckpoint_every = \"300ms\"\nwitnesses = [\"north=" + witness_key_ + "\"]\n";
    start_pools();
    start_gateway();
    gateway_key_ = meter::SigningKey::load_or_create(folder_.file("journal.audit-key")).public_key();
  }
  // Standard output; what goes wrong is said behind it.
  Said run(const std::string& words) {
    const char* bin = std::getenv("QANAT_BIN");
    const std::string line =
        "NO_COLOR=1 timeout 60 " + std::string(bin ? bin : ".") + "/qanat audit " + words + " 2>&1";
    Said said;
    FILE* pipe = ::popen(line.c_str(), "r");
    char buffer[4096];
    while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, pipe)) said.out.append(buffer, n);
    const int status = ::pclose(pipe);
    said.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return said;
  }
  std::string at_socket() const { return " --socket " + folder_.file("gw.sock"); }
  std::string as_tenant() const {
    return " --gateway http://127.0.0.1:" + std::to_string(port_) + " --key " + key_;
  }
  std::string well(const std::string& words) {
    const Said said = run(words);
    EXPECT_EQ(said.status, 0) << words << "\n" << said.out << gateway_->log();
    return said.out;
  }
  std::string kept(const std::string& name, const std::string& words) {
    return folder_.write(name, well(words));
  }
  void fails(const std::string& words, const std::string& because) {
    const Said said = run(words);
    EXPECT_NE(said.status, 0) << words << "\n" << said.out;
    EXPECT_NE(said.out.find(because), std::string::npos) << words << "\n" << said.out;
  }
  // Ids of calls that are in the books.
  std::vector<std::string> calls(std::size_t count) {
    const std::uint64_t before = totals().at("calls").get<std::uint64_t>();
    std::vector<std::string> ids;
    for (const Seen& seen : streams(count, chat_body(3))) ids.push_back(seen.call);
    settled([&](const json& t) { return t.at("calls").get<std::uint64_t>() == before + count; });
    return ids;
  }
  void change_the_books(const std::string& sql) {
    meter::open_store(folder_.file("ledger.db"))->execute(sql.c_str());
  }

  std::string witness_, witness_key_, gateway_key_;
};

TEST_F(Audit, EveryCallIsProvableOfflineAndChangedBooksShow) {
  start();
  const auto ids = calls(8);
  const std::string trusted = " --signed-by " + gateway_key_;
  const std::string all = kept("calls.jsonl", "export" + at_socket());
  EXPECT_NE(well("verify " + all + trusted).find(" 9 leaves, "), std::string::npos);
  std::ifstream file(all);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  EXPECT_EQ(text.find("\"lab\""), std::string::npos) << "leaves name nobody";
  EXPECT_EQ(text.find("under the hill"), std::string::npos) << "and hold no prompts";
  fails("verify " + all + " --signed-by " + witness_key_, "signed with another key");
  fails("verify " + all + " --witness " + witness_key_, "no cosignature of");

  // A tenant proves its own call, and nobody else's.
  const std::string proof = kept("proof.json", "proof " + ids[3] + at_socket());
  well("verify " + proof + trusted);
  const std::string own = kept("own.json", "proof " + ids[3] + as_tenant());
  well("verify " + own + trusted);
  EXPECT_EQ(json::parse(std::ifstream(own)).at("opened").at("tenant").at("value"), "lab");
  const std::string other = json::parse(admin("POST", "/v1/keys", R"({"tenant":"clinic"})").body).at("key");
  EXPECT_EQ(tenant("GET", "/qanat/v1/audit/calls/" + ids[3], "", other).status, 404);
  json forged = json::parse(std::ifstream(own));
  forged["opened"]["tenant"]["value"] = "clinic";
  fails("verify " + folder_.write("forged.json", forged.dump()), "tenant is not clinic");
  std::string cheaper = forged["leaf"];
  cheaper.replace(cheaper.find("\"tokens_out\":3"), 14, "\"tokens_out\":2");
  forged["leaf"] = cheaper;
  fails("verify " + folder_.write("forged.json", forged.dump()), "is not in the tree");

  // Taken out, put elsewhere, cut off.
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  const auto without = [&](std::size_t from, std::size_t count) {
    std::string out;
    for (std::size_t i = 0; i < lines.size(); ++i)
      if (i < from || i >= from + count) out += lines[i] + "\n";
    return folder_.write("less.jsonl", out);
  };
  fails("verify " + without(lines.size() - 4, 1), "is missing");
  fails("verify " + without(lines.size() - 1, 1), "leaves are missing at the end");

  // The books: a bill made dearer, a call made another tenant's, one taken out.
  change_the_books("UPDATE entries SET amount_nano = amount_nano * 2 WHERE call = '" + ids[0] + "'");
  change_the_books("UPDATE calls SET tenant = 'clinic' WHERE id = '" + ids[1] + "'");
  change_the_books("DELETE FROM entries WHERE call = '" + ids[2] + "'");
  change_the_books("DELETE FROM calls WHERE id = '" + ids[2] + "'");
  const std::string after = kept("after.jsonl", "export" + at_socket());
  fails("verify " + after, "call " + ids[0] + ": the books say something else");
  fails("verify " + after, "call " + ids[1] + ": the books say something else");
  fails("verify " + after, "call " + ids[2] + ": it is not in the books any more");
  // And the leaf with it, as if it had always been so.
  change_the_books(
      "UPDATE call_leaves SET leaf = replace(leaf, '\"tokens_out\":3', '\"tokens_out\":2') WHERE call = '" +
      ids[4] + "'");
  fails("verify " + kept("rewritten.jsonl", "export" + at_socket()), "are not those that were signed");
}

TEST_F(Audit, AWitnessFollowsOneHistoryOverAKillAndRefusesAnother) {
  start();
  calls(5);
  well("checkpoint --now" + at_socket());
  EXPECT_NE(well("cosign --identity " + witness_ + as_tenant()).find("cosigned 6 leaves as north"),
            std::string::npos);
  const json first = json::parse(well("checkpoint" + as_tenant()));
  ASSERT_EQ(first.at("cosignatures").size(), 1u);
  fails("cosign --identity " + folder_.file("stranger.pem") + as_tenant(), "no witness of this gateway");

  // Killed in the middle of calls: each call in the books has its leaf, and the tree goes on.
  streams(6, chat_body(400), 0, [this](std::uint64_t tokens) {
    if (tokens > 20 && gateway_->running()) gateway_->end(SIGKILL);
  });
  start_gateway();
  calls(2);
  const std::uint64_t booked = totals().at("calls").get<std::uint64_t>();
  const json last = json::parse(well("checkpoint --now" + at_socket()));
  EXPECT_EQ(last.at("size"), booked + 1);
  well("cosign --identity " + witness_ + as_tenant());
  const std::string grown = kept("grown.json", "consistency 6" + as_tenant());
  well("verify " + grown + " --signed-by " + gateway_key_ + " --witness " + witness_key_);
  well("verify " + kept("calls.jsonl", "export" + at_socket()) + " --witness " + witness_key_);

  // Another history of the same length, signed anew by whoever has the gateway's key.
  change_the_books("UPDATE call_leaves SET leaf = leaf || ' ' WHERE number = 2");
  change_the_books("DELETE FROM call_cosignatures");
  change_the_books("DELETE FROM call_checkpoints");
  gateway_->end(SIGKILL);
  start_gateway();
  well("checkpoint --now" + at_socket());
  fails("cosign --identity " + witness_ + as_tenant(), "not cosigned");
}

}  // namespace
}  // namespace qanat::e2e
