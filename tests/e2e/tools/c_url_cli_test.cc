// `qanat c-url` as a person at a shell sees it: every golden vector through the program, and what it says of bad ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace qanat::cli {
namespace {

using nlohmann::json;
using testing::HasSubstr;

struct Ran {
  int status = -1;
  std::string out;  // stdout and stderr together
};

std::string in_quotes(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

class CUrlCli : public testing::Test {
 protected:
  void SetUp() override {
    const char* bin = std::getenv("QANAT_BIN");
    program_ = std::string(bin ? bin : ".") + "/qanat";
    if (::access(program_.c_str(), X_OK) != 0) GTEST_SKIP() << program_ << " is not built";
  }
  Ran run(const std::string& verb, const std::vector<std::string>& words, bool as_json = false) {
    std::string line = in_quotes(program_) + " c-url " + verb;
    for (const std::string& word : words) line += " " + in_quotes(word);
    Ran ran;
    std::FILE* pipe = ::popen((line + (as_json ? " --json" : "") + " 2>&1").c_str(), "r");
    char chunk[4096];
    while (const std::size_t n = pipe ? std::fread(chunk, 1, sizeof chunk, pipe) : 0)
      ran.out.append(chunk, n);
    const int status = pipe ? ::pclose(pipe) : -1;
    ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return ran;
  }
  json parsed(const std::string& verb, const std::vector<std::string>& words) {
    const Ran ran = run(verb, words, true);
    EXPECT_EQ(ran.status, 0) << ran.out;
    return json::parse(ran.out, nullptr, false);
  }
  // A golden file's lines, by its tabs.
  static std::vector<std::vector<std::string>> rows(const std::string& name) {
    std::ifstream file("tests/golden/c_url/" + name);
    std::vector<std::vector<std::string>> out;
    for (std::string line; std::getline(file, line);) {
      auto& row = out.emplace_back();
      for (std::size_t at = 0, tab; at <= line.size(); at = tab + 1) {
        tab = std::min(line.find('\t', at), line.size());
        row.push_back(line.substr(at, tab - at));
      }
    }
    EXPECT_FALSE(out.empty()) << name;
    return out;
  }
  std::string program_;
};

TEST_F(CUrlCli, SpellsTheGoldenOnesCanonically) {
  for (const auto& row : rows("canonical.tsv")) {
    const Ran ran = run("canonical", {row[0]});
    EXPECT_EQ(ran.status, 0) << row[0];
    EXPECT_EQ(ran.out, row[1] + "\n");
  }
  EXPECT_EQ(parsed("canonical", {"c-url://any/infer?cards=2&accel=H20"})["canonical"],
            "c-url://any/infer?accel=h20&cards=2");
}

TEST_F(CUrlCli, EncodesTheGoldenOnesAndReadsThemBack) {
  for (const auto& row : rows("binary.tsv")) {
    EXPECT_EQ(run("encode", {row[0]}).out, row[1] + "\n") << row[0];
    const Ran back = run("decode", {row[1]});
    EXPECT_EQ(back.status, 0) << row[0];
    EXPECT_EQ(back.out, row[0] + "\n");
  }
  // Whatever else is asked for, a service has one address of each family.
  const json plain = parsed("encode", {"c-url://gz.cn/wiki"}),
             asked = parsed("encode", {"C-URL://GZ.cn/Wiki"});
  EXPECT_EQ(plain["service_sid"], asked["service_sid"]);
  EXPECT_EQ(plain["service_ipv4"], asked["service_ipv4"]);
  EXPECT_EQ(plain["bytes"].get<std::size_t>() * 2, plain["hex"].get<std::string>().size());
  EXPECT_NE(parsed("encode", {"c-url://sz.cn/wiki"})["service_sid"], plain["service_sid"]);
}

TEST_F(CUrlCli, ParsesIntoPartsWithUnits) {
  const std::string url =
      "c-url://pml@GuiAn.gz.cn/infer/m@v2?ttft=2s&mem=80gb&accel=h20,d&instance=far1&x-mine=Q";
  const json parts = parsed("parse", {url});
  EXPECT_EQ(parts["provider"], "pml");
  EXPECT_EQ(parts["location"], "guian.gz.cn");
  EXPECT_EQ(parts["service"], "infer");
  EXPECT_EQ(parts["model"], "m");
  EXPECT_EQ(parts["version"], "v2");
  EXPECT_EQ(parts["query"]["ttft"], 2000);
  EXPECT_EQ(parts["query"]["mem"], 80'000'000'000);
  EXPECT_EQ(parts["query"]["accel"], (json{"d", "h20"}));
  EXPECT_EQ(parts["query"]["x-mine"], json{"Q"});
  EXPECT_EQ(parts["is_instance"], true);
  EXPECT_EQ(parsed("parse", {"c-url://*.cn/infer?instance=far1"})["is_instance"], false)
      << "a wildcard is a request";
  const Ran table = run("parse", {url});
  EXPECT_EQ(table.status, 0);
  for (const char* text : {"2000 ms", "80000000000 bytes", "kept as it is", "one instance"})
    EXPECT_THAT(table.out, HasSubstr(text));
}

TEST_F(CUrlCli, PointsAtWhatIsWrong) {
  for (const auto& row : rows("errors.tsv"))
    for (const char* verb : {"canonical", "encode"}) {
      const Ran ran = run(verb, {row[0]});
      EXPECT_EQ(ran.status, 2) << verb << " " << row[0] << "\n" << ran.out;
      EXPECT_THAT(ran.out, HasSubstr(row[0] + "\n" + std::string(std::stoul(row[2]), ' ') + "^\n")) << row[1];
    }
  EXPECT_EQ(run("parse", {}).status, 2);
  EXPECT_EQ(run("parse", {""}).status, 2);
  EXPECT_EQ(run("match", {"c-url://any/infer"}).status, 2);

  const Ran letters = run("decode", {"zz"});
  EXPECT_EQ(letters.status, 2);
  EXPECT_THAT(letters.out, HasSubstr("not hexadecimal"));
  for (const char* bad :
       {"c1", "c1000005696e666572", "c1000005696e6665720000", "c2000005696e66657200", "00"}) {
    const Ran ran = run("decode", {bad});
    EXPECT_EQ(ran.status, 1) << bad;
    EXPECT_THAT(ran.out, HasSubstr("not a binary C-URL: ")) << bad;
  }
}

TEST_F(CUrlCli, MatchNamesTheFirstClauseThatFails) {
  const std::string offer =
      "c-url://pml@guian.gz.cn/infer/m@v2?accel=h20&cards=4&mem=96gb&ctx=32768&max_price=900&plane=private";
  for (const char* good :
       {"c-url://any/infer", "c-url://*.cn/infer/m", "c-url://*.gz.cn/infer/m@v2?cards=4&mem=80gb",
        "c-url://pml@any/infer?accel=d,h20&ctx=32768&max_price=900&plane=private"})
    EXPECT_EQ(run("match", {good, offer}).out, "yes\n") << good;
  struct Case {
    const char *request, *clause;
  };
  for (const Case& c : std::vector<Case>{{"c-url://any/train", "service"},
                                         {"c-url://*.us/infer", "location"},
                                         {"c-url://other@any/infer", "provider"},
                                         {"c-url://any/infer/n", "model"},
                                         {"c-url://any/infer/m@v3", "version"},
                                         {"c-url://any/infer?accel=d", "accel"},
                                         {"c-url://any/infer?cards=5", "cards"},
                                         {"c-url://any/infer?mem=97gb", "mem"},
                                         {"c-url://any/infer?ctx=32769", "ctx"},
                                         {"c-url://any/infer?max_price=899", "max_price"},
                                         {"c-url://any/infer?plane=internet", "plane"}}) {
    const Ran no = run("match", {c.request, offer}, true);
    EXPECT_EQ(no.status, 1) << c.request;
    const json said = json::parse(no.out, nullptr, false);
    ASSERT_TRUE(said.is_object()) << no.out;
    EXPECT_EQ(said["matches"], false);
    EXPECT_EQ(said["mismatch"]["clause"], c.clause) << c.request;
  }
  const Ran wild = run("match", {"c-url://any/infer", "c-url://*.cn/infer"});
  EXPECT_EQ(wild.status, 2);
  EXPECT_THAT(wild.out, HasSubstr("the offer's location has a wildcard"));
}

}  // namespace
}  // namespace qanat::cli
