function space = Text(maxLength, minLength, charset)
%TEXT Texts of minLength (1) to maxLength code points, all of them in charset (digits and letters). Elements are texts.
  if nargin < 2
    minLength = 1;
  end
  if nargin < 3
    charset = ['0':'9' 'A':'Z' 'a':'z'];
  end
  charset = rlay.chars(charset);
  rlay.checkIntegers(minLength, 0, 'the least length of a Text');
  rlay.checkIntegers(maxLength, 0, 'the greatest length of a Text');
  if ~isscalar(minLength) || ~isscalar(maxLength) || ~ischar(charset)
    error('rlay:usage', 'a Text takes one greatest length, one least length, and a charset that is a text');
  end
  space = rlay.Space('Text');
  space.minLength = uint64(minLength);
  space.maxLength = uint64(maxLength);
  space.charset = charset;
  if space.minLength > space.maxLength
    error('rlay:usage', 'texts whose least length is above the greatest');
  end
end
