#include "gateway/meter/money.hh"

#include <algorithm>

namespace qanat::meter {

std::string to_string(Nano amount) {
  if (amount == 0) return "0";
  const bool negative = amount < 0;
  __extension__ unsigned __int128 rest =
      negative ? -static_cast<unsigned __int128>(amount) : static_cast<unsigned __int128>(amount);
  std::string digits;
  for (; rest != 0; rest /= 10) digits.push_back(static_cast<char>('0' + static_cast<int>(rest % 10)));
  if (negative) digits.push_back('-');
  std::reverse(digits.begin(), digits.end());
  return digits;
}

std::string version(const Price& price) {
  std::string text =
      price.currency + ":" + std::to_string(price.input_nano) + ":" + std::to_string(price.output_nano);
  if (price.cached_nano >= 0 && price.cached_nano != price.input_nano)
    text += ":" + std::to_string(price.cached_nano);
  return text;
}

}  // namespace qanat::meter
