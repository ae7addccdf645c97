// Resolution without a network: C-URLs parsed, and looked up among a million descriptors.
//   bench_resolve parse [SECONDS]          parses a second, without and with a copy that can be kept
//   bench_resolve lookup [DESCRIPTORS] [SEED] [LOOKUPS]
// Prints "name value" lines.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "gateway/resolve/index.hh"

using namespace qanat;
using Clock = std::chrono::steady_clock;
using Random = std::mt19937_64;

namespace {

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// What callers write: from an instance's name to a request with an SLA.
const std::array<std::string, 6> kTexts{
    "c-url://pml@guian.gz.cn/infer/deepseek-r1-distill-qwen-32b?accel=h20&cards=4",
    "c-url://*.cn/infer/deepseek-r1-distill-llama-70b?ttft=2s&tpot=100ms&tier=interactive&within=cn",
    "c-url://any/finetune/deepseek-r1-distill-llama-70b?cards=8&finish=6h&tier=bulk&plane=private",
    "c-url://gz.cn/infer/deepseek-r1-distill-qwen-32b?instance=far1-h20",
    "c-url://any/infer/deepseek-r1-distill-qwen-32b?max_price=1200&prefer=cost",
    "C-URL://Any/Infer/Org%2FModel@2.1?mem=80gb&accel=H20,D,L40"};

template <class Parse>
double per_second(double seconds, Parse parse) {
  std::vector<double> rounds;  // the median of five: these machines are noisy
  for (int round = 0; round < 5; ++round) {
    std::size_t done = 0;
    const auto start = Clock::now();
    do {
      for (int i = 0; i < 500; ++i)
        for (const std::string& text : kTexts)
          if (!parse(text)) std::abort();
      done += 500 * kTexts.size();
    } while (seconds_since(start) < seconds / 5);
    rounds.push_back(static_cast<double>(done) / seconds_since(start));
  }
  std::nth_element(rounds.begin(), rounds.begin() + 2, rounds.end());
  return rounds[2];
}

int parse(double seconds) {
  c_url::Flat flat;
  fmt::print("parse_per_s {:.0f}\n",
             per_second(seconds, [&](const std::string& t) { return !flat.scan(t); }));
  fmt::print("parse_copied_per_s {:.0f}\n",
             per_second(seconds, [](const std::string& t) { return c_url::CUrl::parse(t).has_value(); }));
  return 0;
}

// A country's worth of pools: 31 regions, some hundred cities, 3,000 sites; 200 models, some much more served than others.
struct World {
  std::vector<std::string> sites, models;
  const std::array<const char*, 8> accels{"h20", "h800", "a100", "l40", "d", "910b", "mlu370", "bi150"};
  const std::array<const char*, 3> dtypes{"bf16", "fp8", "int8"};

  explicit World(Random& random) {
    for (int region = 0; region < 31; ++region)
      for (int city = 0; city < 8; ++city)
        for (int site = 0; site < 12; ++site)
          sites.push_back(
              fmt::format("s{}.c{}.r{}.{}", site, city, region, random() % 10 == 0 ? "sg" : "cn"));
    for (int model = 0; model < 200; ++model)
      models.push_back(fmt::format("model-{}-{}b", model, 1 + model % 70));
  }
  // Popular ones first: the square of a uniform number.
  template <class List>
  static std::size_t skewed(Random& random, const List& list) {
    const double u = std::uniform_real_distribution<double>{}(random);
    return static_cast<std::size_t>(u * u * static_cast<double>(list.size()));
  }
};

struct Descriptor {
  std::uint32_t site, model, second_model;
  std::uint8_t accel, dtype, cards;
};

int lookup(std::size_t descriptors, std::uint64_t seed, std::size_t lookups) {
  Random random(seed);
  const World world(random);
  std::vector<Descriptor> all(descriptors);
  const auto begun = Clock::now();
  resolve::Index::Builder builder;
  for (std::size_t i = 0; i < descriptors; ++i) {
    Descriptor& d = all[i];
    d.site = static_cast<std::uint32_t>(random() % world.sites.size());
    d.model = static_cast<std::uint32_t>(World::skewed(random, world.models));
    d.second_model = static_cast<std::uint32_t>(World::skewed(random, world.models));
    d.accel = static_cast<std::uint8_t>(World::skewed(random, world.accels));
    d.dtype = static_cast<std::uint8_t>(random() % 3);
    d.cards = static_cast<std::uint8_t>(1u << random() % 7);
    const std::string instance = fmt::format("pool-{}", i), provider = fmt::format("p{}", i % 50);
    c_url::Offer offer;
    offer.instance = instance;
    offer.provider = provider;
    c_url::parse_location(world.sites[d.site], offer.location);
    offer.services = {"infer"};
    if (random() % 8 == 0) offer.services.push_back("finetune");
    offer.accelerator = world.accels[d.accel];
    offer.dtype = world.dtypes[d.dtype];
    offer.cards = d.cards;
    offer.memory_bytes = d.cards * (24'000'000'000LL + d.accel * 16'000'000'000LL);
    offer.context_tokens = 4096LL << random() % 6;
    // Half of the pools serve a second model, as an offer of its own.
    for (std::uint32_t model : {d.model, d.second_model}) {
      if (model == d.second_model && i % 2 == 0) break;
      offer.model = world.models[model];
      offer.price_nano = 100 + static_cast<std::int64_t>(random() % 3000);
      builder.add(offer, i);
      if (d.model == d.second_model) break;
    }
  }
  const resolve::Index index = std::move(builder).build();
  fmt::print("build_s {:.2f}\nindex_mib {:.0f}\noffers {}\n", seconds_since(begun),
             static_cast<double>(index.memory_bytes()) / (1 << 20), index.size());

  std::vector<std::string> requests;
  for (std::size_t i = 0; i < lookups; ++i) {
    const std::size_t pool = random() % descriptors;
    const Descriptor& d = all[pool];
    const std::string& site = world.sites[d.site];
    const std::string region = site.substr(site.find('.', site.find('.') + 1) + 1);
    if (i % 10 < 5) {  // exactly this one
      requests.push_back(fmt::format("c-url://p{}@{}/infer/{}?instance=pool-{}", pool % 50, site,
                                     world.models[d.model], pool));
    } else if (i % 10 < 8) {  // somewhere in a region, on these cards
      requests.push_back(fmt::format("c-url://*.{}/infer/{}?accel={}&cards={}", region,
                                     world.models[World::skewed(random, world.models)],
                                     world.accels[World::skewed(random, world.accels)], 1u << random() % 7));
    } else {  // anywhere, if it is good enough
      requests.push_back(fmt::format(
          "c-url://any/{}/{}?accel={},{}&ctx={}&mem={}gb&max_price={}{}",
          random() % 8 == 0 ? "finetune" : "infer", world.models[World::skewed(random, world.models)],
          world.accels[World::skewed(random, world.accels)],
          world.accels[World::skewed(random, world.accels)], 4096u << random() % 6, 24u << random() % 7,
          100 + random() % 3000, random() % 2 ? "&within=" + region : ""));
    }
  }
  std::vector<double> us;
  std::array<double, 3> kinds{};
  std::size_t found = 0, empty = 0;
  c_url::Flat flat;
  std::array<std::uint64_t, 10> out;
  for (std::size_t i = 0; i < lookups; ++i) {
    const auto start = Clock::now();
    if (flat.scan(requests[i])) std::abort();
    const std::size_t n = index.lookup(flat, out);
    us.push_back(seconds_since(start) * 1e6);
    found += n;
    empty += n == 0;
    kinds[i % 10 < 5 ? 0 : i % 10 < 8 ? 1 : 2] += us.back();
  }
  const double total = static_cast<double>(lookups);
  fmt::print("mean_exact_us {:.2f}\nmean_wildcard_us {:.2f}\nmean_any_us {:.2f}\n", kinds[0] / (total * 0.5),
             kinds[1] / (total * 0.3), kinds[2] / (total * 0.2));
  std::sort(us.begin(), us.end());
  fmt::print("p50_us {:.2f}\np99_us {:.2f}\nmax_us {:.1f}\nfound_mean {:.2f}\nempty_share {:.3f}\n",
             us[us.size() / 2], us[us.size() * 99 / 100], us.back(), static_cast<double>(found) / total,
             static_cast<double>(empty) / total);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  const auto number = [&](int i, double fallback) { return argc > i ? std::atof(argv[i]) : fallback; };
  if (what == "parse") return parse(number(2, 2));
  if (what == "lookup")
    return lookup(static_cast<std::size_t>(number(2, 1e6)), static_cast<std::uint64_t>(number(3, 1)),
                  static_cast<std::size_t>(number(4, 50'000)));
  fmt::print(stderr, "usage: bench_resolve parse [SECONDS] | lookup [DESCRIPTORS] [SEED] [LOOKUPS]\n");
  return 2;
}
