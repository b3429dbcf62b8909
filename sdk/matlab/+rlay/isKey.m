function [yes, isFree] = isKey(key)
%ISKEY Whether Python could have it as the key of a dict; isFree: whether a frame may have any number of such keys.
  isFree = ischar(key) || (isa(key, 'int64') && isscalar(key) && key >= 0 && key < 16384);
  if isa(key, 'rlay.TupleValue')
    yes = all(cellfun(@rlay.isKey, key.items));
  else
    isArray = (isnumeric(key) || islogical(key)) && numel(key) > 1;
    refused = {'rlay.NdArray', 'rlay.GraphInstance', 'rlay.DictValue', 'cell', 'struct'};
    yes = isFree || ~(isArray || any(strcmp(class(key), refused)));
  end
end
