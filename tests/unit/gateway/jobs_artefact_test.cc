// Artefacts, as values: manifests, forms, training files, tickets; contracts.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "gateway/jobs/artefact/chat_lines.hh"
#include "gateway/jobs/artefact/manifest.hh"
#include "gateway/jobs/artefact/multipart.hh"
#include "gateway/jobs/artefact/ticket.hh"
#include "gateway/jobs/contract/contract.hh"

namespace qanat::jobs {
namespace {

TEST(Digest, IsSha256InLowerCase) {
  EXPECT_EQ(to_string(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(parse_digest(to_string(sha256("abc"))), sha256("abc"));
  EXPECT_FALSE(parse_digest(std::string(64, 'G')));
  EXPECT_FALSE(parse_digest("ba78"));
}

TEST(Manifest, NamesEveryChunkAndTheLastIsShorter) {
  const std::string bytes(kChunkBytes + 5, 'x');
  const Manifest m = manifest_of(bytes);
  ASSERT_EQ(m.chunks.size(), 2u);
  EXPECT_EQ(m.bytes_of(0), kChunkBytes);
  EXPECT_EQ(m.bytes_of(1), 5u);
  EXPECT_EQ(m.bytes_of(2), 0u);
  EXPECT_EQ(m.chunks[1], sha256("xxxxx"));
  EXPECT_EQ(*parse_manifest(serialize(m)), m);
  EXPECT_EQ(parse_manifest(serialize(manifest_of("")))->size, 0u);
}

TEST(Manifest, RefusesWhatItWouldNotHaveWritten) {
  const std::string good = serialize(manifest_of("hello"));
  for (const std::string& bad :
       {good + "\n", good.substr(0, good.size() - 1), "x" + good, std::string(),
        std::string("qanat-manifest-1\n05\n4194304\n") + std::string(64, '0') + "\n",
        std::string("qanat-manifest-1\n5\n4194305\n") + std::string(64, '0') + "\n",
        std::string("qanat-manifest-1\n5\n0\n"), std::string("qanat-manifest-1\n99999999999999999999\n1\n")})
    EXPECT_EQ(parse_manifest(bad).error(), Errc::BadManifest) << bad;
}

RC_GTEST_PROP(Manifest, WhatParsesSerialisesToTheSameBytes, (const std::string& bytes)) {
  const auto parsed = parse_manifest("qanat-manifest-1\n" + bytes);
  if (parsed) RC_ASSERT(serialize(*parsed) == "qanat-manifest-1\n" + bytes);
  RC_ASSERT(*parse_manifest(serialize(manifest_of(bytes))) == manifest_of(bytes));
}

TEST(Form, IsReadAsBrowsersAndClientsWriteIt) {
  const std::string body =
      "--x1\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n"
      "--x1\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\".jsonl\"\r\n"
      "Content-Type: application/octet-stream\r\n\r\n{}\r\n--x\r\n\r\n--x1--\r\n";
  const auto parts = parse_form("multipart/form-data; boundary=x1", body);
  ASSERT_TRUE(parts);
  ASSERT_EQ(parts->size(), 2u);
  EXPECT_EQ((*parts)[0].name, "purpose");
  EXPECT_EQ((*parts)[0].content, "fine-tune");
  EXPECT_EQ((*parts)[1].file_name, "a \"b\".jsonl");
  EXPECT_EQ((*parts)[1].content, "{}\r\n--x\r\n");
  EXPECT_EQ(parse_form("multipart/form-data; boundary=\"x1\"", body)->size(), 2u);
  EXPECT_FALSE(parse_form("application/json", body));
  EXPECT_FALSE(parse_form("multipart/form-data", body));
  for (std::size_t cut = 0; cut < body.size() - 4; ++cut)
    EXPECT_FALSE(parse_form("multipart/form-data; boundary=x1", body.substr(0, cut))) << cut;
}

RC_GTEST_PROP(Form, IsTotal, (const std::string& bytes)) {
  (void)parse_form("multipart/form-data; boundary=b", "--b\r\n" + bytes);
  (void)parse_form("multipart/form-data; " + bytes, "--b\r\n\r\n");
}

const std::string kExample =
    R"({"messages":[{"role":"user","content":"12345678"},{"role":"assistant","content":"1234"}]})";

TEST(ChatLines, CountsExamplesHoweverTheyAreCut) {
  std::string file;
  for (int i = 0; i < 12; ++i) file += kExample + "\n";
  for (const std::size_t cut : {1u, 7u, 90u, 5000u}) {
    ChatLines lines;
    for (std::size_t at = 0; at < file.size(); at += cut) lines.feed(std::string_view(file).substr(at, cut));
    EXPECT_EQ(lines.finish(), "");
    EXPECT_EQ(lines.examples(), 12u);
    EXPECT_EQ(lines.tokens(), 12u * (12 / 4 + 2 * 4));
  }
}

TEST(ChatLines, SaysWhichLineIsWrongAndHow) {
  const auto said = [](const std::string& line) {
    ChatLines lines;
    for (int i = 0; i < 10; ++i) lines.feed(kExample + "\n");
    lines.feed(line + "\n");
    return lines.finish();
  };
  EXPECT_EQ(said("{"), "line 11 is not JSON");
  EXPECT_EQ(said("[]"), "line 11 is not a JSON object");
  EXPECT_EQ(said("{}"), "line 11 has no 'messages'");
  EXPECT_EQ(said(R"({"messages":[{"role":"king","content":""}]})"),
            "line 11 has a message whose 'role' is 'king'");
  EXPECT_EQ(said(R"({"messages":[{"role":"user","content":"x"}]})"),
            "line 11 has no message of the assistant to learn from");
  EXPECT_EQ(said(std::string(ChatLines::kMaxLine + 1, ' ')), "line 11 is not JSON");
  ChatLines few;
  few.feed(kExample);
  EXPECT_EQ(few.finish(), "it has 1 examples; at least 10 are needed");
}

TEST(Ticket, IsForOneThingAtOneSiteUntilItsEnd) {
  const Ticket t{"city", "put", "abc", "far", 1000};
  EXPECT_TRUE(judge(*parse_ticket(serialize(t)), "put", "abc", "far", 999));
  EXPECT_FALSE(judge(t, "put", "abc", "far", 1000));
  EXPECT_FALSE(judge(t, "get", "abc", "far", 0));
  EXPECT_FALSE(judge(t, "put", "abd", "far", 0));
  EXPECT_FALSE(judge(t, "put", "abc", "near", 0));
  const std::string text = serialize(t);
  for (std::size_t cut = 0; cut < text.size(); ++cut) EXPECT_FALSE(parse_ticket(text.substr(0, cut)));
  EXPECT_FALSE(parse_ticket(text + "x"));
}

Contract lent() {
  return {"contract-1", sha256("data"),      "lab", {"clinic"}, {"far1"}, {"finetune"}, 2,
          5000,         DataClass::Internal, 1};
}

TEST(Contract, NamesTheClauseThatForbids) {
  const Use fine{"clinic", "far1", "far1-h20", "finetune", 4999, 1, false};
  EXPECT_TRUE(judge(lent(), fine));
  const auto refused = [&](auto change) {
    Use use = fine;
    change(use);
    const auto verdict = judge(lent(), use);
    return verdict ? std::string_view("allowed") : clause(static_cast<Errc>(verdict.error().value()));
  };
  EXPECT_EQ(refused([](Use& u) { u.user = "rival"; }), "users");
  EXPECT_EQ(refused([](Use& u) { u.site = "far2", u.pool = "p"; }), "sites");
  EXPECT_EQ(refused([](Use& u) { u.purpose = "infer"; }), "purposes");
  EXPECT_EQ(refused([](Use& u) { u.unix_ms = 5000; }), "expires");
  EXPECT_EQ(refused([](Use& u) { u.uses_before = 2; }), "uses");
  EXPECT_EQ(refused([](Use& u) { u.revoked = true; }), "revoked");
  EXPECT_EQ(refused([](Use& u) { u.user = "lab"; }), "allowed") << "its owner is always a user";
  Contract open = lent();
  open.sites.clear();
  EXPECT_EQ(judge(open, fine).error(), Errc::ContractSite);
  open.data_class = DataClass::Open;
  EXPECT_TRUE(judge(open, fine));
}

TEST(Contract, IsItsText) {
  Contract c = lent();
  EXPECT_EQ(*parse_contract(serialize(c)), c);
  c.users = {};
  c.sites = {"a", "b"};
  c.data_class = DataClass::Confidential;
  EXPECT_EQ(*parse_contract(serialize(c)), c);
  const std::string text = serialize(c);
  for (std::size_t cut = 0; cut < text.size(); ++cut)
    EXPECT_FALSE(parse_contract(text.substr(0, cut))) << cut;
  EXPECT_FALSE(parse_contract(text + "x y\n"));
}

RC_GTEST_PROP(Contract, TotalAndOneTextEach, (const std::string& middle)) {
  const std::string text = "qanat-contract-1\nid c\nartefact " + std::string(64, 'a') + "\nowner o\nusers " +
                           middle + "\nsites \npurposes \nuses 0\nexpires 0\nclass open\nissued 0\n";
  if (const auto parsed = parse_contract(text)) RC_ASSERT(serialize(*parsed) == text);
}

}  // namespace
}  // namespace qanat::jobs
