// Merkle trees: roots and proofs as RFC 9162 §2.1 defines them, in a small tree and at a large one's right edge.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>

#include "gateway/audit/audit_tree.hh"
#include "gateway/audit/frontier.hh"

namespace qanat::audit {
namespace {

// The leaves and roots that Certificate Transparency's implementations test with.
TEST(AuditTree, HasTheRootsOfTheRfcsReferenceTrees) {
  using namespace std::string_literals;
  const std::string leaves[] = {"",
                                "\0"s,
                                "\x10",
                                "\x20\x21",
                                "\x30\x31",
                                "\x40\x41\x42\x43",
                                "\x50\x51\x52\x53\x54\x55\x56\x57",
                                "`abcdefghijklmno"};
  AuditTree tree;
  EXPECT_EQ(to_string(tree.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  for (const std::string& leaf : leaves) {
    tree.append(leaf);
    if (tree.size() == 1)
      EXPECT_EQ(to_string(tree.root()), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    if (tree.size() == 2)
      EXPECT_EQ(to_string(tree.root()), "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
    if (tree.size() == 3)
      EXPECT_EQ(to_string(tree.root()), "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77");
  }
  EXPECT_EQ(to_string(tree.root()), "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
}

TEST(AuditTree, ProvesEveryLeafAndEveryEarlierTree) {
  AuditTree tree;
  std::vector<Digest> roots;
  for (int i = 0; i < 33; ++i) {
    tree.append("leaf " + std::to_string(i));
    roots.push_back(tree.root());
    for (std::uint64_t leaf = 0; leaf < tree.size(); ++leaf) {
      const Digest hash = leaf_hash("leaf " + std::to_string(leaf));
      auto path = tree.inclusion(leaf);
      EXPECT_TRUE(included(hash, leaf, tree.size(), path, tree.root()));
      EXPECT_FALSE(included(leaf_hash("other"), leaf, tree.size(), path, tree.root()));
      EXPECT_FALSE(included(hash, leaf, tree.size(), path, sha256("")));
      path.push_back(hash);
      EXPECT_FALSE(included(hash, leaf, tree.size(), path, tree.root()));
      const auto proof = tree.consistency(leaf + 1);
      EXPECT_TRUE(consistent(leaf + 1, tree.size(), roots[leaf], tree.root(), proof))
          << leaf << " " << tree.size();
      if (leaf + 1 < tree.size())
        EXPECT_FALSE(consistent(leaf + 1, tree.size(), sha256("x"), tree.root(), proof));
    }
  }
}

// §2.1.1, 2.1.3.1 and 2.1.4.1, word for word.
using List = std::vector<std::string>;
List part(const List& d, std::size_t begin, std::size_t end) { return {d.begin() + begin, d.begin() + end}; }
std::size_t k_of(std::size_t n) {
  std::size_t k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}
Digest mth(const List& d) {
  if (d.empty()) return sha256("");
  if (d.size() == 1) return leaf_hash(d[0]);
  const std::size_t k = k_of(d.size());
  return node_hash(mth(part(d, 0, k)), mth(part(d, k, d.size())));
}
std::vector<Digest> path(std::size_t m, const List& d) {
  if (d.size() == 1) return {};
  const std::size_t k = k_of(d.size());
  auto steps = m < k ? path(m, part(d, 0, k)) : path(m - k, part(d, k, d.size()));
  steps.push_back(m < k ? mth(part(d, k, d.size())) : mth(part(d, 0, k)));
  return steps;
}
std::vector<Digest> subproof(std::size_t m, const List& d, bool whole) {
  if (m == d.size()) return whole ? std::vector<Digest>{} : std::vector<Digest>{mth(d)};
  const std::size_t k = k_of(d.size());
  auto steps = m <= k ? subproof(m, part(d, 0, k), whole) : subproof(m - k, part(d, k, d.size()), false);
  steps.push_back(m <= k ? mth(part(d, k, d.size())) : mth(part(d, 0, k)));
  return steps;
}

RC_GTEST_PROP(AuditTree, ProofsAreTheRfcs, ()) {
  const auto leaves = *rc::gen::nonEmpty<List>();
  AuditTree tree;
  Frontier frontier;
  for (const std::string& leaf : leaves) {
    tree.append(leaf);
    frontier.push(leaf_hash(leaf));
  }
  RC_ASSERT(tree.root() == mth(leaves));
  RC_ASSERT(frontier.root() == mth(leaves));
  RC_ASSERT(frontier.size() == leaves.size());
  const auto leaf = *rc::gen::inRange<std::size_t>(0, leaves.size());
  RC_ASSERT(tree.inclusion(leaf) == path(leaf, leaves));
  RC_ASSERT(tree.consistency(leaf + 1) == subproof(leaf + 1, leaves, true));
}

TEST(Frontier, TellsEachWholeSubtreeOnceAndGrowsFromThem) {
  AuditTree tree;
  Frontier grown;
  std::vector<std::vector<Digest>> whole(8);
  for (int i = 0; i < 200; ++i) {
    const std::string leaf = "leaf " + std::to_string(i);
    tree.append(leaf);
    grown.push(leaf_hash(leaf), 0,
               [&](unsigned height, const Digest& root) { whole[height].push_back(root); });
    // Again, from the fewest whole subtrees there are.
    Frontier again;
    for (unsigned height = 8; height-- > 0;)
      if ((tree.size() >> height & 1) != 0) again.push(whole[height].back(), height);
    ASSERT_EQ(again.size(), tree.size());
    ASSERT_EQ(again.root(), tree.root());
    ASSERT_EQ(grown.root(), tree.root());
  }
  for (unsigned height = 0; height < 8; ++height) EXPECT_EQ(whole[height].size(), 200u >> height);
}

}  // namespace
}  // namespace qanat::audit
