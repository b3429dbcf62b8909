function space = Graph(node, edge)
%GRAPH Graphs whose nodes are elements of one space, and edges of another, if it is given.
%   Elements are rlay.GraphInstance.
  rlay.checkSpaces({node});
  space = rlay.Space('Graph');
  space.spaces = {node};
  if nargin > 1
    rlay.checkSpaces({edge});
    space.edge = edge;
  end
end
