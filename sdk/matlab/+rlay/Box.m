function space = Box(low, high, shape, name)
%BOX Arrays between two bounds: rlay.Box(0, 255, [8 8 3], 'uint8'), 'float32' unless said otherwise.
%   A bound is one number for all elements, Inf and -Inf among them, or a matrix of one for each. A shape of one
%   dimension is one number, a shape of none is [].
  if nargin < 4
    name = 'float32';
  end
  space = rlay.Space('Box');
  known = rlay.dtype(name);
  space.dtype = known.name;
  rlay.checkIntegers(shape, 0, 'the shape of a Box');
  space.shape = uint64(shape(:).');
  if rlay.bytesOf(space.shape, known.size) > 2^40
    error('rlay:usage', 'a space of more than 2^40 bytes');
  end
  space.low = boundOf(low, known, space.shape, true);
  space.high = boundOf(high, known, space.shape, false);
  least = rlay.fromBytes(known, space.low.values);
  most = rlay.fromBytes(known, space.high.values);
  if any(least > most)
    error('rlay:usage', 'a Box whose low bound is above the high one');
  end
end

function bound = boundOf(given, known, shape, isLow)
  if isstruct(given)
    bound = given;
    return
  end
  if ~isnumeric(given) && ~islogical(given)
    error('rlay:usage', 'bounds that are no numbers');
  elseif ~isscalar(given) && numel(given) ~= rlay.bytesOf(shape, 1)
    error('rlay:usage', 'bounds that do not fit the shape');
  end
  numbers = rlay.array(given, 'float64');
  numbers = numbers.numbers();
  if ~isfloat(given)
    % Doubles do not have all integers.
    numbers = reshape(permute(given, ndims(given):-1:1), 1, []);
  end
  if isempty(numbers)
    numbers = 0;
  end
  if any(isnan(numbers)) || (isLow && any(numbers == Inf)) || (~isLow && any(numbers == -Inf))
    error('rlay:usage', 'a bound that is NaN, a low bound of Inf or a high one of -Inf');
  end
  bounded = numbers > -Inf;
  if ~isLow
    bounded = numbers < Inf;
  end
  if known.isInteger && isfloat(numbers) && any(isinf(numbers))
    % As Gymnasium does: an integer Box without a bound stores the limit of its dtype.
    limits = cast(numbers, known.className);
    limits(isinf(numbers)) = intmin(known.className);
    if ~isLow
      limits(isinf(numbers)) = intmax(known.className);
    end
    numbers = limits;
  end
  values = rlay.toBytes(known, numbers);
  columns = reshape(values, known.size, []);
  isUniform = all(all(columns == repmat(columns(:, 1), 1, size(columns, 2)))) && all(bounded == bounded(1));
  if isUniform
    values = columns(:, 1).';
    bounded = bounded(1);
  end
  bound = struct('isUniform', isUniform, 'values', values, 'bounded', uint8(bounded));
end
