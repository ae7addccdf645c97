// Whatever the offers and the request, the index finds what a look at every offer finds, in the same order.
#include "gateway/resolve/index.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <tuple>

namespace qanat::resolve {
namespace {

using Random = std::mt19937_64;

std::string one_of(Random& random, std::initializer_list<const char*> words) {
  return *(words.begin() + static_cast<std::ptrdiff_t>(random() % words.size()));
}

struct Pool {
  std::string instance, provider, location, residency, service, model, version, accel, dtype;
  std::int64_t cards = 0, memory = 0, context = 0, price = 0;

  c_url::Offer offer() const {
    c_url::Offer o;
    o.instance = instance;
    o.provider = provider;
    c_url::parse_location(location, o.location);
    if (!residency.empty()) c_url::parse_location(residency, o.residency);
    o.services = {service};
    o.model = model;
    o.version = version;
    o.accelerator = accel;
    o.dtype = dtype;
    o.cards = cards;
    o.memory_bytes = memory;
    o.context_tokens = context;
    o.price_nano = price;
    return o;
  }
};

Pool any_pool(Random& random, std::size_t number) {
  Pool p;
  p.instance = "i" + std::to_string(number);
  p.provider = one_of(random, {"pml", "gov", "industry"});
  p.location = one_of(random, {"guian.gz.cn", "gz.cn", "a.sh.cn", "b.sh.cn", "x.us", "cn", "a.b.c.us"});
  p.residency = one_of(random, {"", "cn", "us", "sh.cn"});
  p.service = one_of(random, {"infer", "infer", "finetune"});
  p.model = one_of(random, {"m1", "m2", "org/m3", ""});
  p.version = p.model.empty() ? "" : one_of(random, {"", "1", "2"});
  p.accel = one_of(random, {"h20", "l40", "d"});
  p.dtype = one_of(random, {"bf16", "fp8"});
  p.cards = static_cast<std::int64_t>(random() % 100);
  p.memory = static_cast<std::int64_t>(random() % 3) * 80'000'000'000;
  p.context = 1LL << (10 + random() % 6);
  p.price = static_cast<std::int64_t>(random() % 20) * 100;
  return p;
}

std::string any_request(Random& random, std::size_t pools) {
  std::string text =
      "c-url://" + one_of(random, {"", "", "pml@", "gov@"}) +
      one_of(random, {"any", "any", "*.cn", "*", "a.*", "a.*.us", "*.sh.cn", "gz.cn", "a.sh.cn"}) + "/" +
      one_of(random, {"infer", "infer", "finetune", "serve"}) +
      one_of(random, {"", "", "/m1", "/m2@1", "/org%2fm3"});
  char separator = '?';
  const auto add = [&](const std::string& clause) {
    if (random() % 4 != 0) return;
    text += separator + clause;
    separator = '&';
  };
  add("accel=" + one_of(random, {"h20", "h20,d", "l40,x", "x"}));
  add("cards=" + std::to_string(1 + random() % 110));
  add("ctx=" + one_of(random, {"1", "4096", "5000", "99999"}));
  add("dtype=" + one_of(random, {"fp8", "bf16,fp8"}));
  std::string names = "i" + std::to_string(random() % pools);
  for (std::size_t more = random() % 2 * 40; more > 0; --more)
    names += ",i" + std::to_string(random() % pools);
  add("instance=" + names);
  add("max_price=" + std::to_string(random() % 2500));
  add("mem=" + one_of(random, {"1b", "80gb", "100gb", "1tb"}));
  add("within=" + one_of(random, {"cn", "us,sh.cn", "*.cn", "any", "fr"}));
  return text;
}

TEST(Index, FindsWhatALookAtEveryOfferFinds) {
  std::size_t hits = 0;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    Random random(seed);
    const std::size_t count = seed == 1 ? 1 : 150 * seed;
    std::vector<Pool> pools;
    Index::Builder builder;
    for (std::size_t i = 0; i < count; ++i) {
      pools.push_back(any_pool(random, i));
      ASSERT_TRUE(builder.add(pools.back().offer(), i));
    }
    const Index index = std::move(builder).build();
    std::vector<std::size_t> order(count);
    for (std::size_t i = 0; i < count; ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return std::tie(pools[a].price, pools[a].instance) < std::tie(pools[b].price, pools[b].instance);
    });
    for (int asked = 0; asked < 100; ++asked) {
      const std::string text = any_request(random, count);
      c_url::Flat flat;
      ASSERT_FALSE(flat.scan(text)) << text;
      const c_url::CUrl request = *c_url::CUrl::parse(text);
      std::vector<std::uint64_t> expected;
      for (std::size_t i : order) {
        if (expected.size() == 10) break;
        if (!mismatch(request, pools[i].offer())) expected.push_back(i);
      }
      std::array<std::uint64_t, 10> out;
      const std::size_t found = index.lookup(flat, out);
      ASSERT_EQ(std::vector<std::uint64_t>(out.begin(), out.begin() + found), expected)
          << text << " (seed " << seed << ")";
      hits += found;
    }
  }
  EXPECT_GT(hits, 100u) << "requests that find nothing prove little";
}

TEST(Index, AnEmptyOneFindsNothing) {
  c_url::Flat flat;
  ASSERT_FALSE(flat.scan("c-url://*.cn/infer/m?cards=4&within=cn"));
  std::array<std::uint64_t, 1> out;
  EXPECT_EQ(Index().lookup(flat, out), 0u);
}

}  // namespace
}  // namespace qanat::resolve
