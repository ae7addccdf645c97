// What the web pages' server decides by itself: who takes gzip, who has the file already, what those get who take none.
#include "ui/pages.hh"

#include <gtest/gtest.h>

#include <string>

#include "ui/bundle.hh"

namespace qanat::ui {
namespace {

TEST(Pages, GzipIsForThoseWhoNameIt) {
  for (const char* yes :
       {"gzip", "gzip, deflate, br", "br;q=1.0, gzip;q=0.8", "*", "deflate,x-gzip", "gzip;q=0.001"})
    EXPECT_TRUE(takes_gzip(yes)) << yes;
  for (const char* no :
       {"", "identity", "br", "gzip;q=0", "gzip; q=0.000, identity", "gzipped", ",,", "*;q=0"})
    EXPECT_FALSE(takes_gzip(no)) << no;
}

TEST(Pages, ATagIsComparedWeakly) {
  EXPECT_TRUE(matches("\"a\"", "\"a\""));
  EXPECT_TRUE(matches("\"b\", W/\"a\"", "\"a\""));
  EXPECT_TRUE(matches("*", "\"a\""));
  EXPECT_FALSE(matches("", "\"a\""));
  EXPECT_FALSE(matches("\"b\"", "\"a\""));
  EXPECT_FALSE(matches("a", "\"a\""));
}

TEST(Pages, InflatedIsTheContent) {
  // printf 'qanat' | gzip -n9
  const std::string packed(
      "\037\213\010\000\000\000\000\000\002\003"
      "\053\114\314\113\054\001\000\355\247\315\350\005\000\000\000",
      25);
  const Asset asset{"a.js", "text/javascript", "\"a\"", packed, 5};
  EXPECT_EQ(inflated(asset), "qanat");
  const Asset broken{"a.js", "text/javascript", "\"a\"", std::string_view(packed).substr(0, 12), 5};
  EXPECT_EQ(inflated(broken), "");
}

// Whatever was built: every embedded file is whole, and all three pages are there or none.
TEST(Pages, TheBundleIsWhole) {
  int pages = 0;
  for (const Asset& asset : bundle()) {
    EXPECT_EQ(inflated(asset).size(), asset.size) << asset.name;
    EXPECT_TRUE(asset.etag.starts_with('"') && asset.etag.ends_with('"')) << asset.name;
    EXPECT_NE(asset.content_type, "undefined") << asset.name;
    pages += asset.name.ends_with(".html");
  }
  EXPECT_EQ(pages, bundle().empty() ? 0 : 3);
}

}  // namespace
}  // namespace qanat::ui
