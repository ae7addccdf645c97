// C-URLs as stories: text in, canonical text or a pointed error out; the golden files name every case.
#include "identifiers/c_url/c_url.hh"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "identifiers/c_url/key.hh"
#include "identifiers/c_url/match.hh"

namespace qanat::c_url {
namespace {

std::vector<std::vector<std::string>> rows(const char* path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  std::vector<std::vector<std::string>> out;
  for (std::string line; std::getline(file, line);) {
    std::vector<std::string> row;
    std::istringstream in(line);
    for (std::string cell; std::getline(in, cell, '\t');) row.push_back(cell);
    out.push_back(row);
  }
  return out;
}

CUrl parsed(std::string_view text) {
  auto url = CUrl::parse(text);
  EXPECT_TRUE(url) << text << ": " << (url ? "" : to_string(url.error()));
  return url ? *url : CUrl{};
}

TEST(CUrl, CanonicalFormsAreGoldenAndStable) {
  auto cases = rows("tests/golden/c_url/canonical.tsv");
  ASSERT_GE(cases.size(), 10u);
  for (const auto& row : cases) {
    ASSERT_EQ(row.size(), 2u);
    auto url = parsed(row[0]);
    EXPECT_EQ(to_string(url), row[1]);
    EXPECT_EQ(parsed(row[1]), url);
  }
}

TEST(CUrl, ErrorsPointAtTheCharacter) {
  auto cases = rows("tests/golden/c_url/errors.tsv");
  ASSERT_GE(cases.size(), 25u);
  for (const auto& row : cases) {
    ASSERT_EQ(row.size(), 3u);
    auto url = CUrl::parse(row[0]);
    ASSERT_FALSE(url) << row[0];
    EXPECT_EQ(to_string(url.error().code), row[1]) << row[0] << ": " << to_string(url.error());
    EXPECT_EQ(url.error().offset, std::stoul(row[2])) << row[0] << ": " << to_string(url.error());
  }
}

TEST(CUrl, AMisspeltKeyIsAnErrorThatSuggestsTheRightOne) {
  auto url = CUrl::parse("c-url://any/infer?ttff=2s");
  ASSERT_FALSE(url);
  EXPECT_EQ(to_string(url.error()),
            "at character 19: found 'ttff=2s', expected a registered key (did you mean ttft?)");
  EXPECT_EQ(point_at("c-url://any/infer?ttff=2s", url.error()).substr(25, 20), "\n                  ^");
}

TEST(CUrl, TooLongTextIsRefusedWithoutReadingIt) {
  auto url = CUrl::parse("c-url://any/infer/" + std::string(kMaxTextBytes, 'm'));
  ASSERT_FALSE(url);
  EXPECT_EQ(url.error().code, Errc::TooLong);
}

TEST(CUrl, ValuesComeInBaseUnits) {
  auto url = parsed("c-url://any/infer/m?ttft=1.5s&mem=2gib&tier=bulk&accel=d,h20");
  EXPECT_EQ(url.number("ttft"), 1500);
  EXPECT_EQ(url.number("mem"), 2LL << 30);
  EXPECT_EQ(url.choice("tier"), "bulk");
  EXPECT_EQ(url.names("accel"), (std::vector<std::string>{"d", "h20"}));
  EXPECT_EQ(url.number("tpot"), std::nullopt);
  EXPECT_FALSE(url.is_instance());
  EXPECT_TRUE(parsed("c-url://gz.cn/infer/m?instance=far1").is_instance());
  EXPECT_FALSE(parsed("c-url://*.cn/infer/m?instance=far1").is_instance());
}

TEST(CUrl, EveryRegisteredKeyHasAMeaning) {
  for (const Key& key : keys()) {
    EXPECT_FALSE(key.meaning.empty()) << key.name;
    EXPECT_EQ(find_key(key.name), &key);
    EXPECT_EQ(key.type == ValueType::Choice, !key.choices.empty()) << key.name;
  }
}

Location place(std::string_view text) {
  Location location;
  EXPECT_EQ(parse_location(text, location), std::string_view::npos) << text;
  return location;
}

TEST(Location, AWildcardTakesOneOrMoreLabels) {
  EXPECT_TRUE(matches(place("any"), place("guian.gz.cn")));
  EXPECT_TRUE(matches(place("*.cn"), place("gz.cn")));
  EXPECT_TRUE(matches(place("*.cn"), place("guian.gz.cn")));
  EXPECT_FALSE(matches(place("*.cn"), place("cn")));
  EXPECT_TRUE(matches(place("guian.*"), place("guian.gz.cn")));
  EXPECT_TRUE(matches(place("a.*.d"), place("a.b.c.d")));
  EXPECT_FALSE(matches(place("a.*.d"), place("a.d")));
  EXPECT_FALSE(matches(place("gz.cn"), place("guian.gz.cn")));
}

TEST(Location, ARegionContainsWhatLiesInIt) {
  EXPECT_TRUE(contains(place("cn"), place("guian.gz.cn")));
  EXPECT_TRUE(contains(place("gz.cn"), place("gz.cn")));
  EXPECT_FALSE(contains(place("gz.cn"), place("cn")));
  EXPECT_FALSE(contains(place("us"), place("guian.gz.cn")));
}

Offer offer() {
  Offer o;
  o.instance = "far1-h20";
  o.provider = "pml";
  o.location = place("guian.gz.cn");
  o.services = {"infer"};
  o.model = "deepseek-r1-distill-qwen-32b";
  o.accelerator = "h20";
  o.cards = 8;
  o.memory_bytes = 8 * 96'000'000'000LL;
  o.context_tokens = 32768;
  o.price_nano = 1600;
  return o;
}

TEST(Match, EachClauseIsHeldAgainstTheOffer) {
  struct Case {
    const char* request;
    const char* failing;  // nullptr: it fits
  };
  for (const auto& c : {
           Case{"c-url://any/infer", nullptr},
           Case{"c-url://pml@*.cn/infer/"
                "deepseek-r1-distill-qwen-32b?accel=d,h20&cards=8&ctx=8192&mem=700gb&within=cn",
                nullptr},
           Case{"c-url://gov@any/infer", "provider"},
           Case{"c-url://*.us/infer", "location"},
           Case{"c-url://any/finetune", "service"},
           Case{"c-url://any/infer/llama", "model"},
           Case{"c-url://any/infer/deepseek-r1-distill-qwen-32b@2", "version"},
           Case{"c-url://any/infer?instance=far2", "instance"},
           Case{"c-url://any/infer?accel=l40", "accel"},
           Case{"c-url://any/infer?cards=16", "cards"},
           Case{"c-url://any/infer?mem=1tb", "mem"},
           Case{"c-url://any/infer?ctx=65536", "ctx"},
           Case{"c-url://any/infer?max_price=1599", "max_price"},
           Case{"c-url://any/infer?within=us,sh.cn", "within"},
       }) {
    auto failed = mismatch(parsed(c.request), offer());
    EXPECT_EQ(failed ? failed->clause : "", c.failing ? c.failing : "") << c.request;
  }
}

TEST(Match, ResidencyIsHeldWhereDataStaysNotOnlyWhereItIsComputed) {
  Offer o = offer();
  o.residency = place("us");
  EXPECT_EQ(mismatch(parsed("c-url://any/infer?within=cn"), o)->clause, "within");
}

TEST(Specificity, SaysMoreIsGreater) {
  std::vector<const char*> rising{"c-url://any/infer",
                                  "c-url://*.cn/infer",
                                  "c-url://gz.cn/infer",
                                  "c-url://pml@gz.cn/infer",
                                  "c-url://any/infer/m",
                                  "c-url://any/infer/m@1",
                                  "c-url://gz.cn/infer/m?instance=i"};
  for (std::size_t i = 1; i < rising.size(); ++i) {
    EXPECT_TRUE(compare_specificity(parsed(rising[i - 1]), parsed(rising[i])) < 0) << rising[i];
  }
}

}  // namespace
}  // namespace qanat::c_url
