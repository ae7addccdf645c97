// An invitation carries everything between two people's hands: each part that is missing is named.
#include "tools/qanat/invitation.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/qanat/command_error.hh"

namespace qanat::cli {
namespace {

TEST(Invitation, ComesBackAsItWent) {
  const Invitation there{"city", {"192.0.2.1:7443", "[2001:db8::1]:7443"}, "q1.c2VjcmV0.ZmluZ2Vy", true};
  const std::string text = to_string(there);
  EXPECT_EQ(text, "city@192.0.2.1:7443,[2001:db8::1]:7443/q1.c2VjcmV0.ZmluZ2Vy/relay");
  const Invitation back = parse_invitation(text);
  EXPECT_EQ(back.node, there.node);
  EXPECT_EQ(back.controllers, there.controllers);
  EXPECT_EQ(back.token, there.token);
  EXPECT_TRUE(back.relay);
  EXPECT_FALSE(parse_invitation("city@192.0.2.1:7443/q1.c2VjcmV0.ZmluZ2Vy").relay);
}

std::string refusal(std::string_view text) {
  try {
    parse_invitation(text);
    return "taken";
  } catch (const CommandError& e) {
    EXPECT_EQ(e.status, kWrongUsage);
    return e.what();
  }
}

TEST(Invitation, WhatIsMissingIsNamed) {
  using testing::HasSubstr;
  EXPECT_THAT(refusal("q1.c2VjcmV0.ZmluZ2Vy"), HasSubstr("no box's name"));
  EXPECT_THAT(refusal("@192.0.2.1:7443/q1.a.b"), HasSubstr("no box's name"));
  EXPECT_THAT(refusal("city@192.0.2.1:7443"), HasSubstr("no / before a token"));
  EXPECT_THAT(refusal("city@192.0.2.1:7443/secret"), HasSubstr("no token"));
  EXPECT_THAT(refusal("city@192.0.2.1:7443/q1.a.b/relais"), HasSubstr("no token"));
  EXPECT_THAT(refusal("city@/q1.a.b"), HasSubstr("no controller's"));
  EXPECT_THAT(refusal("city@192.0.2.1/q1.a.b"), HasSubstr("not ADDRESS:PORT"));
  EXPECT_THAT(refusal("ci\"ty@192.0.2.1:7443/q1.a.b"), HasSubstr("no quotes"));
}

}  // namespace
}  // namespace qanat::cli
