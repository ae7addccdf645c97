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
  return price.currency + ":" + std::to_string(price.input_nano) + ":" + std::to_string(price.output_nano);
}

}  // namespace qanat::meter
