// The owner's offer: windows of the week, prices, and what a change may say.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "gateway/pool/serve/pool_offer.hh"

namespace qanat::pool {
namespace {

constexpr std::uint64_t kHour = 3'600'000, kDay = 24 * kHour;
constexpr std::uint64_t kMonday = 1'790'553'600'000;  // 2026-09-28, 00:00 UTC

TEST(PoolOffer, WindowsAreReadAndSaidTheSameWay) {
  for (const char* text : {"daily 01:00-05:30", "mon 22:00-06:00", "mon,tue,wed,thu,fri 22:00-06:00",
                           "sat,sun 00:00-24:00", "daily 12:00-12:00"}) {
    const auto window = parse_window(text);
    ASSERT_TRUE(window) << text;
    EXPECT_EQ(to_string(*window), text);
  }
  EXPECT_EQ(parse_window("mon-fri 22:00-06:00"), parse_window("mon,tue,wed,thu,fri 22:00-06:00"));
  EXPECT_EQ(parse_window("sat-mon 01:00-02:00"), parse_window("mon,sat,sun 01:00-02:00"));
  for (const char* text :
       {"", "daily", "daily 1:00-2:00", "daily 24:00-01:00", "daily 00:00-24:01", "moon 01:00-02:00",
        " 01:00-02:00", "mon- 01:00-02:00", "daily 01:60-02:00", "daily 01:00-02:00 "})
    EXPECT_FALSE(parse_window(text)) << text;
}

TEST(PoolOffer, IsOpenInItsWindowsAlsoOverMidnightAndTheWeeksEnd) {
  PoolOffer offer;
  EXPECT_TRUE(offer.open_at(kMonday));
  EXPECT_FALSE(offer.next_change(kMonday)) << "always";
  offer.windows = {*parse_window("sun 22:00-06:00"), *parse_window("wed 09:00-10:00")};
  EXPECT_TRUE(offer.open_at(kMonday)) << "Sunday's night";
  EXPECT_TRUE(offer.open_at(kMonday + 6 * kHour - 1));
  EXPECT_FALSE(offer.open_at(kMonday + 6 * kHour));
  EXPECT_FALSE(offer.open_at(kMonday + 22 * kHour)) << "Monday has none";
  EXPECT_TRUE(offer.open_at(kMonday + 2 * kDay + 9 * kHour));
  EXPECT_EQ(offer.next_change(kMonday), kMonday + 6 * kHour);
  EXPECT_EQ(offer.next_change(kMonday + 6 * kHour), kMonday + 2 * kDay + 9 * kHour);
  EXPECT_EQ(offer.next_change(kMonday + 3 * kDay), kMonday + 6 * kDay + 22 * kHour);
}

TEST(PoolOffer, AChangeKeepsWhatItDoesNotNameAndSaysAllThatIsWrong) {
  PoolOffer offer;
  offer.price.input = 400;
  offer.windows = {*parse_window("daily 01:00-02:00")};
  std::string problem;
  const PoolOffer dearer = changed(offer, {{"price", {{"card_nano_s", 7u}}}}, problem);
  EXPECT_EQ(problem, "");
  EXPECT_EQ(dearer.price.input, 400u);
  EXPECT_EQ(dearer.price.card, 7u);
  EXPECT_EQ(dearer.windows, offer.windows);
  EXPECT_TRUE(changed(offer, {{"windows", nlohmann::json::array()}}, problem).windows.empty());
  problem.clear();
  changed(offer, nlohmann::json::parse(R"({"price":{"card":1,"input":-1},"windows":["noon"],"when":1})"),
          problem);
  EXPECT_EQ(problem,
            "'when' is unknown; 'price.card' is unknown; 'price.input' is nano-currency: an integer up to "
            "1000000000000; \"noon\" is not a window such as \"mon-fri 22:00-06:00\"");
}

TEST(PoolOffer, IsWhatWasKept) {
  PoolOffer offer;
  offer.version = 12;
  offer.price.card = 2'500'000;
  offer.windows = {*parse_window("mon-fri 22:00-06:00")};
  const auto again = parse_offer(to_json(offer).dump());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->version, 12u);
  EXPECT_EQ(again->price.card, 2'500'000u);
  EXPECT_EQ(again->windows, offer.windows);
  EXPECT_FALSE(parse_offer("{}"));
  EXPECT_FALSE(parse_offer("no"));
}

}  // namespace
}  // namespace qanat::pool
